/** Tells the other tabs of this browser what they would show differently now. */

export interface Tabs {
  /** Something was said in a thread, or somebody has signed in. */
  tell(): void;
  listen(onNote: () => void): void;
}

export function makeTabs(): Tabs {
  const channel = new BroadcastChannel("chat");
  return {
    tell: () => channel.postMessage("threads"),
    listen(onNote) {
      channel.onmessage = onNote;
    },
  };
}
