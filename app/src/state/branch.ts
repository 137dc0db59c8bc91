/**
 * A thread with versions is a tree: every question follows another one, and those that follow the same one
 * are versions of each other. What is shown is one way through it. Pure.
 */

import type { Exchange } from "./conversation";

export interface Step {
  exchange: Exchange;
  /** All versions of it, itself among them, oldest first. */
  versions: readonly Exchange[];
}

/** Per question that was followed in several ways (`""`: the beginning), the key of the exchange to show behind it. */
export type ChosenVersions = Record<string, string>;

/** What an exchange stands behind, as `ChosenVersions` names it. */
export const placeOf = (exchange: Exchange): string => exchange.question.follows ?? "";

/** `exchanges` in the order in which they were asked. Where nothing was chosen, the newest is shown. */
export function branchOf(exchanges: readonly Exchange[], chosen: ChosenVersions): Step[] {
  const behind = Map.groupBy(exchanges, placeOf);
  const newest = new Set(wayBack(exchanges));
  const steps: Step[] = [];
  // A page of a thread begins anywhere.
  const first = [...newest].at(-1);
  for (let place = first && placeOf(first); place !== undefined; ) {
    const versions: readonly Exchange[] = behind.get(place) ?? [];
    const exchange =
      versions.find(({ key }) => key === chosen[place ?? ""]) ??
      versions.find(version => newest.has(version)) ??
      versions.at(-1);
    if (!exchange) break;
    steps.push({ exchange, versions });
    place = exchange.question.id;
  }
  return steps;
}

/** From the exchange that was asked last to the first one that is known. */
function wayBack(exchanges: readonly Exchange[]): Exchange[] {
  const byId = new Map(exchanges.map(exchange => [exchange.question.id, exchange]));
  const way: Exchange[] = [];
  for (let exchange = exchanges.at(-1); exchange && !way.includes(exchange); ) {
    way.push(exchange);
    const { follows } = exchange.question;
    exchange = follows === undefined ? undefined : byId.get(follows);
  }
  return way;
}
