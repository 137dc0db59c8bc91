/** How much is left, in the steps at which people are told. Pure. */

export type BalanceLevel = "plenty" | "low" | "very_low" | "empty";

const LOW = 0.2;
const VERY_LOW = 0.05;

/** `reference`: what counts as full, in tokens; 0 if nothing does. */
export function balanceLevel(tokenBalance: number, reference: number): BalanceLevel {
  if (tokenBalance <= 0) return "empty";
  const share = balanceShare(tokenBalance, reference);
  if (share <= VERY_LOW) return "very_low";
  return share <= LOW ? "low" : "plenty";
}

/** Between 0 and 1. */
export function balanceShare(tokenBalance: number, reference: number): number {
  if (reference <= 0) return tokenBalance > 0 ? 1 : 0;
  return Math.min(1, Math.max(0, tokenBalance / reference));
}
