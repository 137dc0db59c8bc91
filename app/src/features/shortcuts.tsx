import { For, onCleanup } from "solid-js";
import { branchOf } from "../state/branch";
import { chatPath } from "../state/route";
import { Dialog } from "../ui/dialog";
import { useApp, useTexts } from "./app-context";

type Action = keyof ReturnType<ReturnType<typeof useTexts>>["shortcutNames"];

const KEYS: Record<Action, string[]> = {
  newChat: ["Ctrl", "Shift", "O"],
  focusMessage: ["Shift", "Esc"],
  searchThreads: ["Ctrl", "K"],
  copyAnswer: ["Ctrl", "Shift", "C"],
  copyCode: ["Ctrl", "Shift", ";"],
  sidebar: ["Ctrl", "Shift", "S"],
  stop: ["Esc"],
  shortcuts: ["Ctrl", "/"],
};

/** `code` is the place on the keyboard, which Shift and the layout do not change. */
function actionOf(event: KeyboardEvent): Action | undefined {
  const isCommand = event.ctrlKey || event.metaKey;
  if (event.key === "Escape") return event.shiftKey ? "focusMessage" : "stop";
  if (!isCommand || event.altKey) return undefined;
  // On some keyboards the slash needs Shift.
  if (event.key === "/") return "shortcuts";
  if (!event.shiftKey) return event.code === "KeyK" ? "searchThreads" : undefined;
  const byCode: Record<string, Action> = {
    KeyO: "newChat",
    KeyC: "copyAnswer",
    Semicolon: "copyCode",
    KeyS: "sidebar",
  };
  return byCode[event.code];
}

interface ShortcutsOptions {
  currentId: () => string | undefined;
  onShowList: () => void;
}

/** Listens for the shortcuts as long as its owner lives. */
export function createShortcuts({ currentId, onShowList }: ShortcutsOptions): void {
  const app = useApp();
  const { preferences } = app;

  const lastAnswer = () => {
    const id = currentId();
    const conversation = id === undefined ? undefined : app.conversations.get(id);
    return conversation && branchOf(conversation.exchanges, conversation.chosen).at(-1)?.exchange.answer.text;
  };
  const lastCode = () => [...document.querySelectorAll(".markdown figure.code code")].at(-1)?.textContent;
  const copy = (text: string | null | undefined) => text && void navigator.clipboard.writeText(text);

  const actions: Record<Action, () => void> = {
    newChat: () => app.navigation.go(chatPath()),
    focusMessage: () => document.getElementById("message")?.focus(),
    searchThreads() {
      preferences.set("isSidebarOpen", true);
      document.getElementById("thread-search")?.focus();
    },
    copyAnswer: () => copy(lastAnswer()),
    copyCode: () => copy(lastCode()),
    sidebar: () => preferences.set("isSidebarOpen", isOpen => !isOpen),
    stop() {
      const id = currentId();
      if (id !== undefined) void app.conversations.stop(id);
    },
    shortcuts: onShowList,
  };

  function onKeyDown(event: KeyboardEvent) {
    if (event.isComposing || event.defaultPrevented) return;
    const action = actionOf(event);
    if (action === undefined) return;
    // Escape first closes what is open.
    if (action === "stop" && document.querySelector("dialog[open], :popover-open")) return;
    if (action !== "stop") event.preventDefault();
    actions[action]();
  }

  addEventListener("keydown", onKeyDown);
  onCleanup(() => removeEventListener("keydown", onKeyDown));
}

export function ShortcutList(props: { onClose: () => void }) {
  const texts = useTexts();
  return (
    <Dialog title={texts().shortcuts} closeLabel={texts().close} onClose={props.onClose}>
      <dl class="shortcuts">
        <For each={Object.entries(KEYS)}>
          {([action, keys]) => (
            <div>
              <dt>{texts().shortcutNames[action as Action]}</dt>
              <dd>
                <For each={keys}>{key => <kbd>{key}</kbd>}</For>
              </dd>
            </div>
          )}
        </For>
      </dl>
    </Dialog>
  );
}
