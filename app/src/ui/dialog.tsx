import { type JSX, onCleanup, onMount } from "solid-js";
import { Icon } from "./icon";

interface DialogProps {
  title: string;
  closeLabel: string;
  onClose: () => void;
  children: JSX.Element;
  isWide?: boolean;
}

/**
 * A modal dialog while it is mounted: Escape, its cross and a click beside it close it. However it ends, what had
 * the focus before has it again.
 */
export function Dialog(props: DialogProps) {
  let dialog!: HTMLDialogElement;
  let isMounted = true;
  onMount(() => dialog.showModal());
  // Only closing gives the focus back. The event of it may come later, and tells the owner nothing new.
  onCleanup(() => {
    isMounted = false;
    dialog.close();
  });
  return (
    <dialog
      ref={dialog}
      class="dialog"
      classList={{ wide: props.isWide ?? false }}
      aria-labelledby="dialog-title"
      on:close={() => isMounted && props.onClose()}
      on:pointerdown={event => {
        if (event.target === dialog) dialog.close();
      }}
    >
      <div class="dialog-body">
        <header>
          <h2 id="dialog-title">{props.title}</h2>
          <button
            type="button"
            class="icon-button"
            aria-label={props.closeLabel}
            onClick={() => dialog.close()}
          >
            <Icon name="close" />
          </button>
        </header>
        {props.children}
      </div>
    </dialog>
  );
}
