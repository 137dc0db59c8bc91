import { chatPath } from "../../state/route";
import { Icon } from "../../ui/icon";
import { Balance } from "../account/account-panel";
import { useApp, useTexts } from "../app-context";

export function ChatHeader(props: { title: string | undefined }) {
  const app = useApp();
  const texts = useTexts();
  const { preferences, set } = app.preferences;

  return (
    <header class="chat-header">
      <button
        type="button"
        class="icon-button"
        aria-label={texts().sidebar}
        aria-expanded={preferences.isSidebarOpen}
        title={texts().sidebar}
        onClick={() => set("isSidebarOpen", isOpen => !isOpen)}
      >
        <Icon name="sidebar" />
      </button>
      <h1 dir="auto">{props.title ?? texts().newChat}</h1>
      <Balance />
      <a class="icon-button new-chat" href={chatPath()} aria-label={texts().newChat} title={texts().newChat}>
        <Icon name="plus" />
      </a>
    </header>
  );
}
