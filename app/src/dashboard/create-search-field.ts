/** A field whose words go into the address once the typing pauses. */

import { type Accessor, createEffect, createMemo, createSignal, on, onCleanup, untrack } from "solid-js";
import type { Navigation } from "../state/route";

const TYPING_MS = 300;

export interface SearchField {
  /** As it was typed, spaces included. */
  text: Accessor<string>;
  type(text: string): void;
}

/** `name` is that of the query; the page of the list is forgotten, as it is another list then. */
export function createSearchField(navigation: Navigation, name: string): SearchField {
  const asked = createMemo(() => navigation.query().get(name) ?? "");
  const [text, setText] = createSignal(untrack(asked));
  let timer: ReturnType<typeof setTimeout> | undefined;
  onCleanup(() => clearTimeout(timer));

  createEffect(
    on(asked, words => {
      if (words === untrack(text).trim()) return;
      clearTimeout(timer);
      setText(words);
    }),
  );

  return {
    text,
    type(typed) {
      setText(typed);
      clearTimeout(timer);
      timer = setTimeout(() => {
        const change = { [name]: typed.trim(), start: undefined, pages: undefined };
        navigation.setQuery(change, { replace: true });
      }, TYPING_MS);
    },
  };
}
