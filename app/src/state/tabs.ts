/** Tells the other tabs of this browser what they would show differently now. */

export type TabNote = { kind: "balance"; tokenBalance: number } | { kind: "threads" };

export interface Tabs {
  tell(note: TabNote): void;
  listen(onNote: (note: TabNote) => void): void;
}

export function makeTabs(): Tabs {
  const channel = new BroadcastChannel("chat");
  return {
    tell: note => channel.postMessage(note),
    listen(onNote) {
      channel.onmessage = (event: MessageEvent<TabNote>) => onNote(event.data);
    },
  };
}
