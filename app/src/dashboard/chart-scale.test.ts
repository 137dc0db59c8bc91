import { expect, test } from "vitest";
import { labelledIndexes, makeScale } from "./chart-scale";

test.each([
  [0, [0]],
  [3, [0, 1, 2, 3]],
  [7, [0, 2, 4, 6, 8]],
  [100, [0, 25, 50, 75, 100]],
  [48_796, [0, 20_000, 40_000, 60_000]],
  [1_234_567, [0, 500_000, 1_000_000, 1_500_000]],
])("a scale up to %d begins at zero and ends above it", (highest, ticks) => {
  expect(makeScale(highest).ticks).toEqual(ticks);
  expect(makeScale(highest).max).toBeGreaterThanOrEqual(highest);
});

test("labels thin out, and the last one stays", () => {
  expect([...labelledIndexes(5, 10)].sort()).toEqual([0, 1, 2, 3, 4]);
  expect([...labelledIndexes(30, 10)]).toEqual([29, 26, 23, 20, 17, 14, 11, 8, 5, 2]);
});
