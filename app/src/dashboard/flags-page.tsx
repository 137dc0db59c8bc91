import { For, Show } from "solid-js";
import type { Flag } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { CHAT_TEXTS } from "../texts/chat";
import { Markdown } from "../ui/markdown/markdown";
import { useDashboard, useDashboardTexts, useOperatorLink } from "./context";
import { createPages } from "./create-pages";
import { QueryView } from "./query-view";
import { ShowMore, useDepth } from "./show-more";

export function FlagsPage() {
  const { session } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const pages = createPages((cursor, signal) => api.flags(cursor, signal), session.notice, useDepth());

  return (
    <>
      <header class="page-head">
        <h1>{texts().views.flags}</h1>
      </header>
      <QueryView query={pages.query} isEmpty={page => page.items.length === 0} empty={texts().noFlags}>
        {page => (
          <>
            <ul class="flags">
              <For each={page().items}>{flag => <FlagItem flag={flag} />}</For>
            </ul>
            <ShowMore pages={pages} />
          </>
        )}
      </QueryView>
    </>
  );
}

function FlagItem(props: { flag: Flag }) {
  const { preferences } = useApp().preferences;
  const texts = useDashboardTexts();
  const formats = useFormats();
  const linkTo = useOperatorLink();
  const reasons = () =>
    props.flag.reasons.map(reason =>
      Object.hasOwn(texts().flagReasons, reason) ? texts().flagReasons[reason] : reason,
    );

  return (
    <li class="panel">
      <header>
        <a class="link" href={linkTo("users", props.flag.user_id)}>
          {props.flag.user_name ?? props.flag.user_id}
        </a>
        <time dateTime={props.flag.at}>{formats().stamp(new Date(props.flag.at))}</time>
      </header>
      <p class="reasons">
        <For each={reasons()} fallback={<span>{texts().noReason}</span>}>
          {reason => <span>{reason}</span>}
        </For>
      </p>
      <Show when={props.flag.note}>{note => <blockquote>{note()}</blockquote>}</Show>
      <details>
        <summary>{props.flag.question ?? texts().deletedThread}</summary>
        <Show when={props.flag.answer}>
          {answer => (
            <Markdown
              text={answer()}
              isComplete={true}
              files={[]}
              labels={CHAT_TEXTS[preferences.language]}
            />
          )}
        </Show>
      </details>
    </li>
  );
}
