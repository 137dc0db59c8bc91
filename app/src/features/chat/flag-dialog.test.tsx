// @vitest-environment jsdom
import { fireEvent, screen } from "@solidjs/testing-library";
import { beforeEach, expect, test, vi } from "vitest";
import { fakeBrowser, renderInApp } from "../render-app";
import { FlagDialog } from "./flag-dialog";

beforeEach(() => fakeBrowser());

function setUp() {
  const onSend = vi.fn();
  const onClose = vi.fn();
  renderInApp(() => <FlagDialog onSend={onSend} onClose={onClose} />);
  return { onSend, onClose };
}

test("the reasons and the note are sent", () => {
  const { onSend } = setUp();
  fireEvent.click(screen.getByLabelText("Wrong or made up"));
  fireEvent.click(screen.getByLabelText("Cut off or garbled"));
  fireEvent.input(screen.getByLabelText("Anything else?"), { target: { value: "  Not in 1969.  " } });
  fireEvent.click(screen.getByText("Send"));
  expect(onSend).toHaveBeenCalledExactlyOnceWith(["wrong", "broken"], "Not in 1969.");
});

test("neither is needed", () => {
  const { onSend } = setUp();
  fireEvent.click(screen.getByText("Send"));
  expect(onSend).toHaveBeenCalledExactlyOnceWith([], null);
});

test("it can be closed without sending", () => {
  const { onSend, onClose } = setUp();
  fireEvent.click(screen.getByLabelText("Close"));
  expect(onClose).toHaveBeenCalledOnce();
  expect(onSend).not.toHaveBeenCalled();
});
