import { expect, test } from "vitest";
import type { Thread } from "../../api/chat-api";
import { groupThreads } from "./group-threads";

const NOW = new Date(2026, 10, 22, 9, 30);

const thread = (id: string, date: Date): Thread => ({
  id,
  title: id,
  created_at: date.toISOString(),
  updated_at: date.toISOString(),
});

test("threads are grouped by the reader's calendar, not by hours", () => {
  const groups = groupThreads(
    [
      thread("just now", new Date(2026, 10, 22, 9, 29)),
      thread("midnight", new Date(2026, 10, 22, 0, 0)),
      thread("last evening", new Date(2026, 10, 21, 23, 59)),
      thread("six days", new Date(2026, 10, 16, 12)),
      thread("three weeks", new Date(2026, 10, 1)),
      thread("september a", new Date(2026, 8, 30)),
      thread("september b", new Date(2026, 8, 2)),
      thread("a year ago", new Date(2025, 8, 2)),
    ],
    NOW,
  );
  expect(groups.map(group => [group.name, group.threads.map(each => each.id)])).toEqual([
    ["today", ["just now", "midnight"]],
    ["yesterday", ["last evening"]],
    ["lastWeek", ["six days"]],
    ["lastMonth", ["three weeks"]],
    [{ month: new Date(2026, 8, 1) }, ["september a", "september b"]],
    [{ month: new Date(2025, 8, 1) }, ["a year ago"]],
  ]);
});
