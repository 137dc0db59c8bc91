/**
 * What was typed and is not with the server yet. It stays in the tab's storage until the server has taken it,
 * together with the id under which it was sent: sending the same text again then joins the same run, also
 * after a reload in the middle.
 */

import type { Exchange } from "./conversation";

export interface Drafts {
  /** What the message field should hold: also what was on its way when the page was left. */
  read(place: string): string;
  write(place: string, text: string): void;
  /** The text leaves the field. Returns the id to send it under. */
  markSent(place: string, text: string): string;
  /** The server has it, so it is no draft any more, even if it had been given back. */
  forgetSent(place: string): void;
  /** The server did not take it: puts it before what was typed since, and returns both. */
  giveBack(place: string): string;
  /** The id of the message that was sent last and is not known to have arrived. */
  sentId(place: string): string | undefined;
  /** Tells of every text that what became of its sending has put into a field or taken out. Returns what ends that. */
  listen(onMoved: (place: string) => void): () => void;
}

/** The place of a message whose thread does not exist yet. */
export const NEW_THREAD = "new";

/** The place of a question that is being changed. */
export function editPlace({ question }: Exchange): string {
  return `edit:${question.id}`;
}

/** The place of a question that is asked again as it is. */
export function againPlace({ question }: Exchange): string {
  return `again:${question.id}`;
}

/** What is given back is kept apart from what was typed since. */
const BETWEEN = "\n\n";

interface Stored {
  text: string;
  sent?: { text: string; clientMessageId: string; isGivenBack: boolean } | undefined;
}

/** `userId`: whose drafts they are. One browser may serve several people, one after the other. */
export function makeDrafts(
  storage: Storage,
  userId: () => string,
  newId: () => string = () => crypto.randomUUID(),
): Drafts {
  const keyOf = (place: string) => `draft:${userId()}:${place}`;
  /** By key, what storage had no room for: it lasts as long as the page. */
  const unstored = new Map<string, Stored>();
  /** The keys of what this page has sent and waits for. */
  const underway = new Set<string>();
  const listeners = new Set<(place: string) => void>();

  function load(place: string): Stored {
    const kept = unstored.get(keyOf(place));
    if (kept) return kept;
    try {
      const stored: unknown = JSON.parse(storage.getItem(keyOf(place)) ?? "null");
      return isStored(stored) ? stored : { text: "" };
    } catch {
      return { text: "" };
    }
  }

  function store(place: string, draft: Stored): void {
    unstored.delete(keyOf(place));
    try {
      if (draft.text === "" && !draft.sent) storage.removeItem(keyOf(place));
      else storage.setItem(keyOf(place), JSON.stringify(draft));
    } catch {
      unstored.set(keyOf(place), draft);
    }
  }

  function tell(place: string): void {
    for (const onMoved of listeners) onMoved(place);
  }

  function putBack(place: string): string {
    underway.delete(keyOf(place));
    const { text, sent } = load(place);
    if (!sent || sent.isGivenBack) return text;
    const both = text.trim() === "" ? sent.text : sent.text + BETWEEN + text;
    store(place, { text: both, sent: { ...sent, isGivenBack: true } });
    return both;
  }

  return {
    read(place) {
      if (!underway.has(keyOf(place))) putBack(place);
      return load(place).text;
    },
    write(place, text) {
      const { sent } = load(place);
      // An empty field means that the text which was given back is not wanted any more.
      store(place, { text, sent: sent?.isGivenBack && text === "" ? undefined : sent });
    },
    markSent(place, text) {
      const { sent } = load(place);
      const clientMessageId = sent?.text === text ? sent.clientMessageId : newId();
      store(place, { text: "", sent: { text, clientMessageId, isGivenBack: false } });
      underway.add(keyOf(place));
      return clientMessageId;
    },
    forgetSent(place) {
      underway.delete(keyOf(place));
      store(place, { text: withoutSent(load(place)) });
      tell(place);
    },
    giveBack(place) {
      const text = putBack(place);
      tell(place);
      return text;
    },
    sentId: place => load(place).sent?.clientMessageId,
    listen(onMoved) {
      listeners.add(onMoved);
      return () => listeners.delete(onMoved);
    },
  };
}

function withoutSent({ text, sent }: Stored): string {
  if (!sent?.isGivenBack || !text.startsWith(sent.text)) return text;
  const rest = text.slice(sent.text.length);
  if (rest.trim() === "") return "";
  return rest.startsWith(BETWEEN) ? rest.slice(BETWEEN.length) : text;
}

function isStored(value: unknown): value is Stored {
  return typeof value === "object" && value !== null && typeof (value as Stored).text === "string";
}
