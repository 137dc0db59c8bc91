import { createSignal, For } from "solid-js";

const SHOWN_MS = 6_000;

export interface Toast {
  text: string;
  action?: { label: string; run: () => void };
}

export interface Toasts {
  show(toast: Toast): void;
  View: () => ReturnType<typeof ToastList>;
}

interface ShownToast extends Toast {
  dismiss: () => void;
}

/** Short notes at the edge of the page. They are read out, and leave by themselves. */
export function createToasts(): Toasts {
  const [toasts, setToasts] = createSignal<readonly ShownToast[]>([]);
  return {
    show(toast) {
      const shown: ShownToast = {
        ...toast,
        dismiss() {
          clearTimeout(timer);
          setToasts(all => all.filter(other => other !== shown));
        },
      };
      const timer = setTimeout(shown.dismiss, SHOWN_MS);
      setToasts(all => [...all.slice(-2), shown]);
    },
    View: () => <ToastList toasts={toasts()} />,
  };
}

function ToastList(props: { toasts: readonly ShownToast[] }) {
  return (
    <div class="toasts" role="status">
      <For each={props.toasts}>
        {toast => (
          <div class="toast">
            <span>{toast.text}</span>
            {toast.action && (
              <button
                type="button"
                onClick={() => {
                  toast.action?.run();
                  toast.dismiss();
                }}
              >
                {toast.action.label}
              </button>
            )}
          </div>
        )}
      </For>
    </div>
  );
}
