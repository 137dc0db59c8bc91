import { Show } from "solid-js";
import { useApp } from "../features/app-context";
import { useDashboardTexts, useFailureText } from "./context";
import type { Depth, Pages } from "./create-pages";

/** More pages than that are for the export. */
const DEPTH_MAX = 20;

/** The depth of a list stands in the address, too: who opens it sees the same rows. */
export function useDepth(): Depth {
  const { navigation } = useApp();
  return {
    get: () => Math.min(DEPTH_MAX, Math.max(1, Math.trunc(Number(navigation.query().get("pages")) || 1))),
    set: pages => navigation.setQuery({ pages: String(pages) }, { replace: true }),
  };
}

export function ShowMore(props: { pages: Pages<unknown> }) {
  const texts = useDashboardTexts();
  const failureText = useFailureText();
  return (
    <>
      <Show when={props.pages.moreFailure()}>
        {why => (
          <p class="notice problem" role="alert">
            {texts().moreFailed} {failureText(why())}
          </p>
        )}
      </Show>
      <Show when={props.pages.hasMore()}>
        <button
          type="button"
          class="secondary"
          disabled={props.pages.isLoadingMore() || props.pages.query.isLoading()}
          onClick={() => void props.pages.loadMore()}
        >
          {props.pages.isLoadingMore() ? texts().loading : texts().showMore}
        </button>
      </Show>
    </>
  );
}
