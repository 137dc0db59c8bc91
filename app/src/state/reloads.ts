/**
 * After a deployment, parts of an open page may be gone, and after a sign-in in another tab it may be somebody
 * else's: the new page has to be loaded. But a part may also be missing because there is no connection, and the
 * browser would put its own error page in place of ours.
 */

const KEY = "reloaded-at";
const PAUSE_MS = 60_000;

interface ReloadsOptions {
  fetch: typeof fetch;
  storage: Storage;
  reload: () => void;
  now?: () => number;
}

export interface Reloads {
  /** Reloads the page if there is one to load, once in a while: what a reload does not mend never makes a loop. */
  reloadUnasked(): Promise<void>;
  /** Reloads the page if there is one to load. */
  reload(): Promise<void>;
}

export function makeReloads({ fetch, storage, reload, now = Date.now }: ReloadsOptions): Reloads {
  async function reloadIfServed(): Promise<void> {
    if (!navigator.onLine) return;
    const answer = await fetch("/", { cache: "no-store" }).catch(() => undefined);
    if (!answer?.ok) return;
    storage.setItem(KEY, String(now()));
    reload();
  }
  return {
    async reloadUnasked() {
      if (now() - Number(storage.getItem(KEY)) < PAUSE_MS) return;
      await reloadIfServed();
    },
    reload: reloadIfServed,
  };
}
