// @vitest-environment jsdom
import { createRoot } from "solid-js";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createStickToBottom, type StickToBottom } from "./stick-to-bottom";

const VIEW_PX = 400;

let scroller: HTMLElement;
let stick: StickToBottom;
let leave: () => void;
let height: number;
let onResize: () => void;

/** jsdom has no layout: the heights are ours, and the place is held between the ends as a browser does. */
beforeEach(() => {
  vi.stubGlobal(
    "ResizeObserver",
    class {
      constructor(callback: () => void) {
        onResize = callback;
      }
      observe() {}
      disconnect() {
        onResize = () => undefined;
      }
    },
  );
  height = 1_000;
  scroller = document.createElement("div");
  let top = 0;
  Object.defineProperties(scroller, {
    clientHeight: { get: () => VIEW_PX },
    scrollHeight: { get: () => height },
    scrollTop: {
      get: () => top,
      set: (value: number) => (top = Math.max(0, Math.min(value, height - VIEW_PX))),
    },
  });
  createRoot(dispose => {
    leave = dispose;
    stick = createStickToBottom(scroller, document.createElement("div"));
  });
  stick.jump();
});

afterEach(() => leave());

function grow(px: number): void {
  height += px;
  onResize();
}

function scrollTo(top: number): void {
  scroller.scrollTop = top;
  scroller.dispatchEvent(new Event("scroll"));
}

const wheel = (deltaY: number) => scroller.dispatchEvent(new WheelEvent("wheel", { deltaY }));

test("the end is followed while the page grows", () => {
  grow(500);
  grow(500);
  expect(scroller.scrollTop).toBe(1_600);
  expect(stick.isStuck()).toBe(true);
});

test.each([
  ["the wheel", () => wheel(-1)],
  ["a key", () => scroller.dispatchEvent(new KeyboardEvent("keydown", { key: "PageUp" }))],
])("turning up with %s lets go, however little, while the page grows", (_, turnUp) => {
  turnUp();
  grow(500);
  expect(scroller.scrollTop).toBe(600);
  expect(stick.isStuck()).toBe(false);
});

test("dragging the bar up lets go; a scroll that nobody made does not", () => {
  scrollTo(550);
  expect(stick.isStuck()).toBe(true);
  scroller.dispatchEvent(new Event("pointerdown"));
  scrollTo(300);
  expect(stick.isStuck()).toBe(false);
});

test("turning down does not let go, and a page without anything to scroll has nothing to let go of", () => {
  wheel(1);
  expect(stick.isStuck()).toBe(true);
  height = 100;
  wheel(-1);
  expect(stick.isStuck()).toBe(true);
});

test("coming back to the end, or asking for it, holds on again", () => {
  wheel(-1);
  scrollTo(600);
  expect(stick.isStuck()).toBe(true);
  wheel(-1);
  grow(500);
  stick.jump();
  expect(stick.isStuck()).toBe(true);
  expect(scroller.scrollTop).toBe(1_100);
});

test("after it is gone, nothing is heard any more", () => {
  leave();
  wheel(-1);
  grow(500);
  expect(stick.isStuck()).toBe(true);
  expect(scroller.scrollTop).toBe(600);
});
