/**
 * Follows the end of a growing page for as long as the reader wants it. That is a decision of the reader, not
 * a distance: turning the wheel up, swiping, a key or the scroll bar lets go, and coming back to the end or
 * asking for it holds on again.
 */

import { type Accessor, createSignal, onCleanup } from "solid-js";

const AT_END_PX = 8;
const UP_KEYS = new Set(["ArrowUp", "PageUp", "Home"]);

export interface StickToBottom {
  isStuck: Accessor<boolean>;
  /** Goes to the end and stays there. */
  jump(): void;
}

export function createStickToBottom(scroller: HTMLElement, content: HTMLElement): StickToBottom {
  const [isStuck, setStuck] = createSignal(true);
  let lastTop = 0;

  const isAtEnd = () => scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop <= AT_END_PX;
  const toEnd = () => {
    scroller.scrollTop = scroller.scrollHeight;
    lastTop = scroller.scrollTop;
  };
  const letGo = () => {
    if (scroller.scrollHeight > scroller.clientHeight) setStuck(false);
  };

  function onScroll() {
    const isUpwards = scroller.scrollTop < lastTop;
    lastTop = scroller.scrollTop;
    if (isAtEnd()) setStuck(true);
    else if (isUpwards && isDragged) letGo();
  }

  let isDragged = false;
  let touchY = 0;
  const listeners: [string, (event: never) => void][] = [
    ["scroll", onScroll],
    ["wheel", (event: WheelEvent) => event.deltaY < 0 && letGo()],
    ["touchstart", (event: TouchEvent) => (touchY = event.touches[0]?.clientY ?? 0)],
    ["touchmove", (event: TouchEvent) => (event.touches[0]?.clientY ?? 0) > touchY && letGo()],
    ["keydown", (event: KeyboardEvent) => UP_KEYS.has(event.key) && letGo()],
    // A press on the scroller itself, not on what is in it, is one on its bar.
    ["pointerdown", (event: PointerEvent) => (isDragged = event.target === scroller)],
  ];
  for (const [name, listener] of listeners) {
    scroller.addEventListener(name, listener as EventListener, { passive: true });
  }
  const release = () => (isDragged = false);
  addEventListener("pointerup", release);

  const observer = new ResizeObserver(() => {
    if (isStuck()) toEnd();
  });
  observer.observe(content);
  observer.observe(scroller);

  onCleanup(() => {
    observer.disconnect();
    removeEventListener("pointerup", release);
    for (const [name, listener] of listeners) {
      scroller.removeEventListener(name, listener as EventListener);
    }
  });

  return {
    isStuck,
    jump() {
      setStuck(true);
      toEnd();
    },
  };
}
