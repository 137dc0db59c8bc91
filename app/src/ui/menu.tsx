import { createUniqueId, type JSX, onMount } from "solid-js";

interface MenuProps {
  /** Where the trigger shows no words. */
  label?: string;
  /** More about the trigger than it shows. */
  title?: string;
  class?: string;
  trigger: JSX.Element;
  /** Which edge of the trigger the menu is aligned with. */
  align?: "start" | "end";
  children: JSX.Element;
}

const GAP = 6;

/** A button that opens a popover beside it. The browser closes it: by Escape, or by a click elsewhere. */
export function Menu(props: MenuProps) {
  const id = createUniqueId();
  let button!: HTMLButtonElement;
  let popover!: HTMLDivElement;

  onMount(() => {
    popover.addEventListener("click", event => {
      if (event.target instanceof Element && event.target.closest("[data-closes]")) popover.hidePopover();
    });
  });

  function place(event: ToggleEvent) {
    button.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState !== "open") return;
    const from = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = popover;
    const left = props.align === "end" ? from.right - width : from.left;
    const fitsBelow = from.bottom + GAP + height <= innerHeight;
    popover.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
    popover.style.top = `${fitsBelow ? from.bottom + GAP : Math.max(GAP, from.top - GAP - height)}px`;
  }

  return (
    <>
      <button
        ref={button}
        type="button"
        class={props.class ?? "icon-button"}
        aria-label={props.label}
        title={props.title}
        aria-expanded="false"
        popovertarget={id}
      >
        {props.trigger}
      </button>
      <div ref={popover} id={id} class="menu" popover="auto" on:toggle={place}>
        {props.children}
      </div>
    </>
  );
}
