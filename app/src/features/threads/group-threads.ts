/** Threads under the headings of the list, by the reader's own calendar. Pure. */

import type { Thread } from "../../api/chat-api";

export type GroupName = "today" | "yesterday" | "lastWeek" | "lastMonth" | { month: Date };

export interface ThreadGroup {
  key: string;
  name: GroupName;
  threads: Thread[];
}

/** `threads` are sorted, the newest first. */
export function groupThreads(threads: readonly Thread[], now: Date): ThreadGroup[] {
  const groups: ThreadGroup[] = [];
  for (const thread of threads) {
    const name = groupOf(new Date(thread.updated_at), now);
    const key = typeof name === "string" ? name : name.month.toISOString();
    const last = groups.at(-1);
    if (last?.key === key) last.threads.push(thread);
    else groups.push({ key, name, threads: [thread] });
  }
  return groups;
}

function groupOf(date: Date, now: Date): GroupName {
  const today = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  const daysAgo = (days: number) => new Date(today.getFullYear(), today.getMonth(), today.getDate() - days);
  if (date >= today) return "today";
  if (date >= daysAgo(1)) return "yesterday";
  if (date >= daysAgo(7)) return "lastWeek";
  if (date >= daysAgo(30)) return "lastMonth";
  return { month: new Date(date.getFullYear(), date.getMonth(), 1) };
}
