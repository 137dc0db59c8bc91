import { type JSX, Match, Show, Switch } from "solid-js";
import { useFormats } from "../features/app-context";
import type { Failure } from "../state/failure";
import { useDashboardTexts, useFailureText } from "./context";
import type { ServerQuery } from "./create-query";

interface QueryViewProps<T> {
  query: ServerQuery<T>;
  isEmpty?: (data: T) => boolean;
  empty?: JSX.Element;
  children: (data: () => T) => JSX.Element;
}

/**
 * Loading, failed, empty and there look different, and what was there stays while more is loaded. It is dimmed
 * for as long as that takes; after a failure it may stay for long, and has to be readable.
 */
export function QueryView<T>(props: QueryViewProps<T>) {
  const texts = useDashboardTexts();
  const formats = useFormats();

  return (
    <>
      <Show when={props.query.failure()}>
        {failure => <FailureNote query={props.query} failure={failure()} />}
      </Show>
      <Switch>
        <Match when={props.query.data() !== undefined}>
          <div class="query" classList={{ dimmed: props.query.isLoading() }}>
            <Show
              when={!props.isEmpty?.(props.query.data() as T)}
              fallback={<p class="empty">{props.empty}</p>}
            >
              {props.children(() => props.query.data() as T)}
            </Show>
          </div>
          <p class="freshness">
            {texts().updated(formats().time(props.query.updatedAt() ?? new Date()))}{" "}
            <button type="button" class="link" onClick={() => props.query.reload()}>
              {texts().refresh}
            </button>
          </p>
        </Match>
        <Match when={props.query.isLoading()}>
          <div class="skeleton" role="status" aria-label={texts().loading}>
            <i />
            <i />
            <i />
          </div>
        </Match>
      </Switch>
    </>
  );
}

function FailureNote<T>(props: { query: ServerQuery<T>; failure: Failure }) {
  const failureText = useFailureText();
  const texts = useDashboardTexts();
  const isForbidden = () => props.failure.kind === "forbidden";
  return (
    <p class="notice problem" role="alert">
      <span>
        {isForbidden() ? texts().forbiddenText : failureText(props.failure)}{" "}
        <Show when={props.query.data() !== undefined}>{texts().stale}</Show>
      </span>
      <Show when={!isForbidden()}>
        <button type="button" class="link" onClick={() => props.query.reload()}>
          {texts().retry}
        </button>
      </Show>
    </p>
  );
}
