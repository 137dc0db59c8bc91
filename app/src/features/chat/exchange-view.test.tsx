// @vitest-environment jsdom
import { fireEvent, screen } from "@solidjs/testing-library";
import { createSignal } from "solid-js";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Exchange } from "../../state/conversation";
import { againPlace } from "../../state/drafts";
import { answered, fakeBrowser, renderInApp } from "../render-app";
import { ExchangeView } from "./exchange-view";

beforeEach(() => fakeBrowser());

function setUp(exchange: Exchange, versions: Exchange[] = [exchange], isLast = true) {
  const onAskInstead = vi.fn(() => Promise.resolve());
  const [isStopping, setStopping] = createSignal(false);
  const [now, setNow] = createSignal(exchange);
  const rendered = renderInApp(() => (
    <ExchangeView
      threadId="t_1"
      exchange={now()}
      versions={versions}
      isLast={isLast}
      isBusy={now().answer.status === "active"}
      isStopping={isStopping()}
      onAskInstead={onAskInstead}
    />
  ));
  return { ...rendered, onAskInstead, setStopping, setNow };
}

test("a question and its answer are shown", () => {
  const { container } = setUp(answered("1", "Some **bold** words."));
  expect(container.querySelector(".question-text")?.textContent).toBe("A question");
  expect(container.querySelector(".markdown strong")?.textContent).toBe("bold");
});

test("the versions can be reached, also while the newest is being written", () => {
  const [first, second] = [answered("1"), answered("2", "", { status: "active", id: undefined })];
  const { app } = setUp(second, [first, second]);
  expect(screen.getByText("2/2")).toBeTruthy();
  fireEvent.click(screen.getByLabelText("Earlier version"));
  expect(app.conversations.choose).toHaveBeenCalledExactlyOnceWith("t_1", first);
  expect(screen.getByLabelText<HTMLButtonElement>("Later version").disabled).toBe(true);
});

test("Stop freezes the text at once; what had come meanwhile follows at the end", async () => {
  const growing = answered("1", "One", { status: "active" });
  const { container, setStopping, setNow } = setUp(growing);
  const text = () => container.querySelector(".markdown")?.textContent?.trim();
  await vi.waitFor(() => expect(text()).toBe("One"));
  setStopping(true);
  setNow(answered("1", "One two", { status: "active" }));
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  expect(text()).toBe("One");
  setNow(answered("1", "One two three", { status: "cancelled" }));
  await vi.waitFor(() => expect(text()).toBe("One two three"));
});

describe("asking again", () => {
  test("is offered where there is no answer, and asks the same question", () => {
    const error = { code: "not_started", message: "", isRetryable: true };
    const failed = answered("1", "", { status: "failed", error });
    const { onAskInstead } = setUp(failed);
    fireEvent.click(screen.getByText("Ask again"));
    expect(onAskInstead).toHaveBeenCalledExactlyOnceWith(failed, "A question");
  });

  test.each([
    ["would not help", true, { code: "declined", message: "", isRetryable: false }],
    ["something was asked since", false, { code: "not_started", message: "", isRetryable: true }],
  ])("is not offered where it %s", (_, isLast, error) => {
    const failed = answered("1", "", { status: "failed", error });
    setUp(failed, [failed], isLast);
    expect(screen.queryByText("Ask again")).toBeNull();
  });
});

describe("changing a question", () => {
  const edit = () => {
    fireEvent.click(screen.getByLabelText("Edit and send again"));
    return screen.getByLabelText<HTMLTextAreaElement>("Edit and send again");
  };

  test("asks the changed one", () => {
    const exchange = answered("1");
    const { onAskInstead } = setUp(exchange);
    const field = edit();
    fireEvent.input(field, { target: { value: "Another question" } });
    fireEvent.keyDown(field, { key: "Enter" });
    expect(onAskInstead).toHaveBeenCalledExactlyOnceWith(exchange, "Another question");
  });

  test.each([{ isComposing: true }, { keyCode: 229 }])("waits for the end of a composition: %o", keys => {
    const { onAskInstead } = setUp(answered("1"));
    fireEvent.keyDown(edit(), { key: "Enter", ...keys });
    expect(onAskInstead).not.toHaveBeenCalled();
  });

  test("begins a line on Enter on a phone", () => {
    fakeBrowser({ hasKeyboard: false });
    const { onAskInstead } = setUp(answered("1"));
    fireEvent.keyDown(edit(), { key: "Enter" });
    expect(onAskInstead).not.toHaveBeenCalled();
  });

  test("that was typed is there again when the question is", () => {
    const exchange = answered("1");
    const { app, unmount } = setUp(exchange);
    fireEvent.input(edit(), { target: { value: "Half a change" } });
    unmount();
    renderInApp(
      () => (
        <ExchangeView
          threadId="t_1"
          exchange={exchange}
          versions={[exchange]}
          isLast
          isBusy={false}
          isStopping={false}
          onAskInstead={() => Promise.resolve()}
        />
      ),
      { drafts: app.drafts },
    );
    expect(screen.getByLabelText<HTMLTextAreaElement>("Edit and send again").value).toBe("Half a change");
  });

  test("is not begun by asking the same once more", () => {
    const exchange = answered("1");
    const { app, unmount } = setUp(exchange);
    app.drafts.markSent(againPlace(exchange), "A question");
    unmount();
    const { container } = setUp(exchange);
    expect(container.querySelector(".question-form")).toBeNull();
  });
});
