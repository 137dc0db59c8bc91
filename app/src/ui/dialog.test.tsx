// @vitest-environment jsdom
import { fireEvent, render, screen } from "@solidjs/testing-library";
import { createSignal, Show } from "solid-js";
import { beforeEach, expect, test, vi } from "vitest";
import { fakeBrowser } from "../features/render-app";
import { Dialog } from "./dialog";

beforeEach(() => fakeBrowser());

function setUp() {
  const [isShown, setShown] = createSignal(true);
  const onClose = vi.fn(() => setShown(false));
  const { container } = render(() => (
    <Show when={isShown()}>
      <Dialog title="Sure?" closeLabel="Close" onClose={onClose}>
        <p>A question</p>
      </Dialog>
    </Show>
  ));
  const dialog = container.querySelector("dialog") as HTMLDialogElement;
  const closedIn: boolean[] = [];
  dialog.addEventListener("close", () => closedIn.push(dialog.isConnected));
  return { container, dialog, closedIn, onClose, setShown };
}

test("a dialog that its owner takes away is closed while it is still in the page, and does not ask to be closed", () => {
  const { container, dialog, closedIn, onClose, setShown } = setUp();
  setShown(false);
  expect([closedIn, dialog.open]).toEqual([[true], false]);
  expect(container.querySelector("dialog")).toBeNull();
  expect(onClose).not.toHaveBeenCalled();
});

test("its cross closes it once", () => {
  const { container, closedIn, onClose } = setUp();
  fireEvent.click(screen.getByLabelText("Close"));
  expect(onClose).toHaveBeenCalledOnce();
  expect(closedIn).toHaveLength(1);
  expect(container.querySelector("dialog")).toBeNull();
});
