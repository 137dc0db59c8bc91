import { createSignal, Show } from "solid-js";
import type { Thread } from "../../api/chat-api";
import { failureOf } from "../../state/failure";
import { chatPath } from "../../state/route";
import { failureText } from "../../texts/chat";
import { Icon } from "../../ui/icon";
import { isComposing } from "../../ui/keys";
import { Menu } from "../../ui/menu";
import { useApp, useTexts } from "../app-context";

const TITLE_CHARACTERS_MAX = 200;

export function ThreadItem(props: { thread: Thread; isCurrent: boolean; onOpened: () => void }) {
  const app = useApp();
  const texts = useTexts();
  const [isRenaming, setRenaming] = createSignal(false);
  const title = () => props.thread.title || texts().untitled;
  const isAnswering = () =>
    app.conversations.get(props.thread.id)?.exchanges.at(-1)?.answer.status === "active";

  function remove() {
    const { undo } = app.threads.remove({ ...props.thread });
    if (props.isCurrent) app.navigation.go(chatPath());
    app.toasts.show({ text: texts().threadDeleted, action: { label: texts().undo, run: undo } });
  }

  return (
    <li class="thread" classList={{ current: props.isCurrent }}>
      <Show
        when={!isRenaming()}
        fallback={<RenameField thread={props.thread} onDone={() => setRenaming(false)} />}
      >
        <a
          href={chatPath(props.thread.id)}
          aria-current={props.isCurrent ? "page" : undefined}
          title={title()}
          onClick={() => props.onOpened()}
        >
          <span class="thread-title" dir="auto">
            {title()}
          </span>
          <Show when={isAnswering()}>
            <span class="dot" role="img" aria-label={texts().answering} />
          </Show>
        </a>
        <Menu label={texts().threadMenu(title())} trigger={<Icon name="more" />}>
          <button type="button" data-closes onClick={() => setRenaming(true)}>
            <Icon name="pencil" />
            {texts().rename}
          </button>
          <button type="button" class="danger" data-closes onClick={remove}>
            <Icon name="trash" />
            {texts().delete}
          </button>
        </Menu>
      </Show>
    </li>
  );
}

function RenameField(props: { thread: Thread; onDone: () => void }) {
  const app = useApp();
  const texts = useTexts();
  let isDone = false;

  function finish(title: string | undefined) {
    if (isDone) return;
    isDone = true;
    props.onDone();
    const wanted = title?.trim();
    if (!wanted || wanted === props.thread.title) return;
    app.threads
      .rename(props.thread.id, wanted)
      .catch(error => app.toasts.show({ text: failureText(texts(), failureOf(error)) }));
  }

  return (
    <input
      class="rename"
      ref={input => requestAnimationFrame(() => input.select())}
      aria-label={texts().renameThread}
      maxLength={TITLE_CHARACTERS_MAX}
      value={props.thread.title}
      onBlur={event => finish(event.currentTarget.value)}
      onKeyDown={event => {
        if (isComposing(event)) return;
        if (event.key === "Enter") finish(event.currentTarget.value);
        if (event.key !== "Escape") return;
        event.preventDefault();
        finish(undefined);
      }}
    />
  );
}
