/** The address bar: which page is shown, and the one way to change it. */

import { type Accessor, createSignal } from "solid-js";

export const OPERATOR_VIEWS = ["usage", "transactions", "users", "flags", "operations"] as const;
export type OperatorView = (typeof OPERATOR_VIEWS)[number];

export type Route =
  | { page: "chat"; threadId: string | undefined }
  | { page: "operator"; view: OperatorView; id: string | undefined }
  | { page: "unknown" };

export function parsePath(path: string): Route {
  const [first, second, third, ...more] = path.split("/").filter(Boolean).map(decodeSafely);
  if (more.length > 0) return { page: "unknown" };
  if (first === undefined) return { page: "chat", threadId: undefined };
  if (first === "c" && second !== undefined && third === undefined) return { page: "chat", threadId: second };
  if (first !== "operator") return { page: "unknown" };
  const view = OPERATOR_VIEWS.find(name => name === (second ?? "usage"));
  return view ? { page: "operator", view, id: third } : { page: "unknown" };
}

export const chatPath = (threadId?: string) => (threadId ? `/c/${encodeURIComponent(threadId)}` : "/");
export const operatorPath = (view: OperatorView, id?: string) =>
  `/operator/${view}${id === undefined ? "" : `/${encodeURIComponent(id)}`}`;

export interface Navigation {
  route: Accessor<Route>;
  /** What stands behind the `?`. */
  query: Accessor<URLSearchParams>;
  go(path: string, options?: { replace?: boolean }): void;
  /** Sets some of the query; an empty value takes its name out. */
  setQuery(values: Record<string, string | undefined>, options?: { replace?: boolean }): void;
}

export function createNavigation(): Navigation {
  const [address, setAddress] = createSignal(new URL(location.href));
  const show = () => setAddress(new URL(location.href));

  function go(path: string, { replace = false } = {}): void {
    if (replace) history.replaceState(null, "", path);
    else history.pushState(null, "", path);
    show();
  }

  addEventListener("popstate", show);
  document.addEventListener("click", event => {
    const path = pathOfClick(event);
    if (path === undefined) return;
    event.preventDefault();
    go(path);
  });

  return {
    route: () => parsePath(address().pathname),
    query: () => address().searchParams,
    go,
    setQuery(values, options) {
      const url = new URL(address());
      for (const [name, value] of Object.entries(values)) {
        if (value) url.searchParams.set(name, value);
        else url.searchParams.delete(name);
      }
      go(url.pathname + url.search, options);
    },
  };
}

/** Links between our own pages need no reload; all other clicks are the browser's. */
function pathOfClick(event: MouseEvent): string | undefined {
  if (event.defaultPrevented || event.button !== 0) return undefined;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return undefined;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin)
    return undefined;
  // A place on the same page: the browser goes there.
  if (link.hash !== "") return undefined;
  return parsePath(link.pathname).page === "unknown" ? undefined : link.pathname + link.search;
}

function decodeSafely(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
