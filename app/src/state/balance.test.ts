import { expect, test } from "vitest";
import { balanceLevel, balanceShare } from "./balance";

test.each([
  [100, "plenty"],
  [21, "plenty"],
  [20, "low"],
  [6, "low"],
  [5, "very_low"],
  [1, "very_low"],
  [0, "empty"],
  [-3, "empty"],
] as const)("%d of 100 tokens is %s", (tokens, level) => {
  expect(balanceLevel(tokens, 100)).toBe(level);
});

test("without a grant, what is there is plenty", () => {
  expect(balanceLevel(7, 0)).toBe("plenty");
  expect(balanceShare(7, 0)).toBe(1);
});

test("debt and a gift stay within the bar", () => {
  expect(balanceShare(-50, 100)).toBe(0);
  expect(balanceShare(500, 100)).toBe(1);
});
