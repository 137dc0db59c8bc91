// @vitest-environment jsdom
import { fireEvent, screen, waitFor } from "@solidjs/testing-library";
import { createSignal } from "solid-js";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Failure } from "../../state/failure";
import { fakeBrowser, renderInApp } from "../render-app";
import { Composer } from "./composer";

beforeEach(() => fakeBrowser());

interface Given {
  text?: string;
  isBusy?: boolean;
  failure?: Failure;
  account?: Record<string, unknown>;
}

function setUp({ text = "Hello", isBusy = false, failure, account }: Given = {}) {
  const [shown, setShown] = createSignal(text);
  const onSend = vi.fn((_: string) => Promise.resolve(failure));
  const onStop = vi.fn();
  const session = account && { session: { account: { tokenGrant: 1_000, tokensWhenFull: 1_000, ...account } } };
  const { container } = renderInApp(
    () => (
      <Composer
        text={shown()}
        place="t_1"
        isBusy={isBusy}
        isStopping={false}
        onInput={setShown}
        onSend={onSend}
        onStop={onStop}
      />
    ),
    session,
  );
  return { container, onSend, onStop, shown, field: screen.getByLabelText<HTMLTextAreaElement>("Write a message") };
}

describe("Enter", () => {
  test("sends, without the space around the text", () => {
    const { field, onSend } = setUp({ text: "  Hello\n" });
    fireEvent.keyDown(field, { key: "Enter" });
    expect(onSend).toHaveBeenCalledExactlyOnceWith("Hello");
  });

  test.each([
    ["with Shift", { shiftKey: true }],
    ["in a composition", { isComposing: true }],
    ["that ends a composition in Safari", { keyCode: 229 }],
  ])("%s does not send", (_, keys) => {
    const { field, onSend } = setUp();
    fireEvent.keyDown(field, { key: "Enter", ...keys });
    expect(onSend).not.toHaveBeenCalled();
  });

  test("on a phone begins a line", () => {
    fakeBrowser({ hasKeyboard: false });
    const { field, onSend } = setUp();
    fireEvent.keyDown(field, { key: "Enter" });
    expect(onSend).not.toHaveBeenCalled();
  });
});

test("while an answer is written one can type and stop, but not send", () => {
  const { field, onSend, onStop, shown } = setUp({ isBusy: true });
  fireEvent.input(field, { target: { value: "the next one" } });
  fireEvent.keyDown(field, { key: "Enter" });
  expect(shown()).toBe("the next one");
  expect(onSend).not.toHaveBeenCalled();
  fireEvent.click(screen.getByLabelText("Stop"));
  expect(onStop).toHaveBeenCalledOnce();
});

test("nothing but space is not sent", () => {
  const { onSend } = setUp({ text: " \n " });
  expect(screen.getByLabelText<HTMLButtonElement>("Send").disabled).toBe(true);
  expect(onSend).not.toHaveBeenCalled();
});

test("what was not taken says why and can be tried again", async () => {
  const { field, onSend } = setUp({ failure: { kind: "unavailable", retryAfterS: undefined } });
  fireEvent.keyDown(field, { key: "Enter" });
  const notice = await screen.findByRole("alert");
  expect(notice.textContent).toContain("Not sent. The server is not available right now.");
  fireEvent.click(screen.getByText("Try again"));
  expect(onSend).toHaveBeenCalledTimes(2);
});

test("without enough tokens there are plain words instead of an error", async () => {
  const { container, field } = setUp({ failure: { kind: "out_of_tokens", nextGrantAt: undefined } });
  fireEvent.keyDown(field, { key: "Enter" });
  await waitFor(() => expect(container.querySelector(".out-of-tokens")).not.toBeNull());
  expect(screen.queryByRole("alert")).toBeNull();
});

describe("a balance", () => {
  test.each([
    [1_000, undefined],
    [200, "200 tokens are left, less than a fifth."],
    [50, "Only 50 tokens are left: enough for a few more messages."],
  ])("of %d of 1,000 tokens", (tokenBalance, warning) => {
    const { container } = setUp({ account: { tokenBalance } });
    expect(container.querySelector(".notice.warning")?.textContent).toBe(warning);
  });

  test("without a grant is measured by what there was when tokens came last", () => {
    const { container } = setUp({ account: { tokenBalance: 40, tokenGrant: 0, tokensWhenFull: 1_000 } });
    expect(container.querySelector(".notice.warning")?.textContent).toContain("Only 40 tokens");
  });
});
