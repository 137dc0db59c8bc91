import { describe, expect, test } from "vitest";
import { addDays, dayIn, daysBetween, daysOf, presetRange, rangeOfQuery } from "./period";

const TODAY = "2026-03-05";

test("today depends on where one is", () => {
  const at = new Date("2026-03-04T23:30:00Z");
  expect(dayIn("UTC", at)).toBe("2026-03-04");
  expect(dayIn("Europe/Berlin", at)).toBe("2026-03-05");
  expect(dayIn("America/Los_Angeles", at)).toBe("2026-03-04");
});

test.each([
  ["today", "2026-03-05", "2026-03-05"],
  ["7d", "2026-02-27", "2026-03-05"],
  ["30d", "2026-02-04", "2026-03-05"],
  ["month", "2026-03-01", "2026-03-05"],
  ["last_month", "2026-02-01", "2026-02-28"],
  ["year", "2025-03-05", "2026-03-05"],
] as const)("%s is %s to %s", (preset, from, to) => {
  expect(presetRange(preset, TODAY)).toEqual({ from, to });
});

describe("an address", () => {
  const read = (search: string) => rangeOfQuery(new URLSearchParams(search), TODAY);

  test("names a preset or two days", () => {
    expect(read("range=7d")).toMatchObject({ from: "2026-02-27", preset: "7d" });
    expect(read("from=2026-01-01&to=2026-01-31")).toEqual({
      from: "2026-01-01",
      to: "2026-01-31",
      preset: undefined,
    });
  });

  test.each([
    "",
    "range=never",
    "from=2026-02-01&to=2026-01-01",
    "from=x&to=y",
    "from=2020-01-01&to=2026-01-01",
  ])("that makes no sense is the default: %j", search => {
    expect(read(search).preset).toBe("30d");
  });
});

test("days are counted across changes of the clock and leap years", () => {
  expect(addDays("2026-03-28", 2)).toBe("2026-03-30");
  expect(addDays("2028-02-28", 1)).toBe("2028-02-29");
  expect(daysBetween("2026-10-24", "2026-10-26")).toBe(2);
  expect(daysOf({ from: "2026-12-30", to: "2027-01-01" })).toEqual([
    "2026-12-30",
    "2026-12-31",
    "2027-01-01",
  ]);
});
