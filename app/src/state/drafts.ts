/**
 * What was typed and is not with the server yet. It stays in the tab's storage until the server has taken it,
 * together with the id under which it was sent: sending the same text again then joins the same run, also
 * after a reload in the middle.
 */

import type { Exchange } from "./conversation";

export interface Drafts {
  /** What the message field should hold: also what was sent and is not known to have arrived. */
  read(place: string): string;
  write(place: string, text: string): void;
  /** The text leaves the field. Returns the id to send it under. */
  markSent(place: string, text: string): string;
  /** The server has it. */
  forgetSent(place: string): void;
  /** The server did not take it: puts it before what was typed since, and returns both. */
  giveBack(place: string): string;
  /** The id of the message that was sent last and is not known to have arrived. */
  sentId(place: string): string | undefined;
}

/** The place of a message whose thread does not exist yet. */
export const NEW_THREAD = "new";

/** The place of a question that is being changed. */
export function editPlace({ question }: Exchange): string {
  return `edit:${question.id}`;
}

interface Stored {
  text: string;
  sent?: { text: string; clientMessageId: string; isGivenBack: boolean } | undefined;
}

export function makeDrafts(storage: Storage, newId: () => string = () => crypto.randomUUID()): Drafts {
  const keyOf = (place: string) => `draft:${place}`;

  function load(place: string): Stored {
    try {
      const stored: unknown = JSON.parse(storage.getItem(keyOf(place)) ?? "null");
      return isStored(stored) ? stored : { text: "" };
    } catch {
      return { text: "" };
    }
  }

  function store(place: string, draft: Stored): void {
    try {
      if (draft.text === "" && !draft.sent) storage.removeItem(keyOf(place));
      else storage.setItem(keyOf(place), JSON.stringify(draft));
    } catch {
      // Storage is full or forbidden: the text is still in the field.
    }
  }

  return {
    read: place => withSent(load(place)),
    write(place, text) {
      const { sent } = load(place);
      // An empty field means that the text which was given back is not wanted any more.
      store(place, { text, sent: sent?.isGivenBack && text === "" ? undefined : sent });
    },
    markSent(place, text) {
      const { sent } = load(place);
      const clientMessageId = sent?.text === text ? sent.clientMessageId : newId();
      store(place, { text: "", sent: { text, clientMessageId, isGivenBack: false } });
      return clientMessageId;
    },
    forgetSent: place => store(place, { text: load(place).text }),
    giveBack(place) {
      const draft = load(place);
      const text = withSent(draft);
      store(place, { text, sent: draft.sent && { ...draft.sent, isGivenBack: true } });
      return text;
    },
    sentId: place => load(place).sent?.clientMessageId,
  };
}

function withSent({ text, sent }: Stored): string {
  if (!sent || sent.isGivenBack) return text;
  return text.trim() === "" ? sent.text : `${sent.text}\n\n${text}`;
}

function isStored(value: unknown): value is Stored {
  return typeof value === "object" && value !== null && typeof (value as Stored).text === "string";
}
