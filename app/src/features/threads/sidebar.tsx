import { createMemo, createSignal, For, Match, onCleanup, Show, Switch } from "solid-js";
import { chatPath } from "../../state/route";
import { failureText } from "../../texts/chat";
import { Icon } from "../../ui/icon";
import { AccountPanel } from "../account/account-panel";
import { useApp, useFormats, useTexts } from "../app-context";
import { type GroupName, groupThreads } from "./group-threads";
import { ThreadItem } from "./thread-item";

const SEARCH_DELAY_MS = 200;
const WORDS_CHARACTERS_MAX = 100;

interface SidebarProps {
  currentId: string | undefined;
  /** On a phone the sidebar lies over the chat and leaves when something in it was chosen. */
  onOpened: () => void;
}

export function Sidebar(props: SidebarProps) {
  const app = useApp();
  const texts = useTexts();
  const formats = useFormats();
  // A thread has no title until something is said in it.
  const listed = () =>
    app.threads.threads.filter(thread => thread.title !== "" || thread.id === props.currentId);
  const groups = createMemo(() => groupThreads(listed(), new Date()));
  const heading = (name: GroupName) =>
    typeof name === "string" ? texts()[name] : formats().month(name.month);

  return (
    <nav class="sidebar" aria-label={texts().threads}>
      <div class="sidebar-head">
        <a class="brand" href={chatPath()} onClick={() => props.onOpened()}>
          {texts().appName}
        </a>
        <a
          class="icon-button"
          href={chatPath()}
          aria-label={texts().newChat}
          title={texts().newChat}
          onClick={() => props.onOpened()}
        >
          <Icon name="plus" />
        </a>
      </div>
      <SearchField />
      <div class="thread-groups">
        <For each={groups()}>
          {group => (
            <section>
              <h2>{heading(group.name)}</h2>
              <ul>
                <For each={group.threads}>
                  {thread => (
                    <ThreadItem
                      thread={thread}
                      isCurrent={thread.id === props.currentId}
                      onOpened={props.onOpened}
                    />
                  )}
                </For>
              </ul>
            </section>
          )}
        </For>
        <Switch>
          <Match when={app.threads.failure}>
            {failure => (
              <p class="hint">
                {failureText(texts(), failure())}{" "}
                <button type="button" class="link" onClick={() => void app.threads.reload()}>
                  {texts().retry}
                </button>
              </p>
            )}
          </Match>
          <Match when={app.threads.isLoading && listed().length === 0}>
            <div class="skeleton" role="status" aria-label={texts().loading}>
              <i />
              <i />
              <i />
            </div>
          </Match>
          <Match when={listed().length === 0}>
            <p class="hint">
              {app.threads.words ? texts().nothingFound(app.threads.words) : texts().noThreads}
            </p>
          </Match>
        </Switch>
        <Show when={app.threads.hasMore}>
          <button type="button" class="quiet" onClick={() => void app.threads.loadMore()}>
            {texts().showMore}
          </button>
        </Show>
      </div>
      <AccountPanel />
    </nav>
  );
}

function SearchField() {
  const app = useApp();
  const texts = useTexts();
  const [words, setWords] = createSignal(app.threads.words);
  let timer: ReturnType<typeof setTimeout> | undefined;
  onCleanup(() => clearTimeout(timer));

  function search(value: string) {
    setWords(value);
    clearTimeout(timer);
    timer = setTimeout(() => void app.threads.search(value.trim()), SEARCH_DELAY_MS);
  }

  return (
    <search class="search">
      <Icon name="search" />
      <input
        id="thread-search"
        type="search"
        aria-label={texts().searchThreads}
        placeholder={texts().searchThreads}
        maxLength={WORDS_CHARACTERS_MAX}
        value={words()}
        onInput={event => search(event.currentTarget.value)}
        onKeyDown={event => {
          if (event.key !== "Escape") return;
          event.preventDefault();
          search("");
        }}
      />
    </search>
  );
}
