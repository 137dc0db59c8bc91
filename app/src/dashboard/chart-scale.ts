/** Numbers of a chart: a scale that begins at zero and ends at a round figure. Pure. */

export interface Scale {
  max: number;
  ticks: number[];
}

const TICKS = 4;

export function makeScale(highest: number): Scale {
  if (highest <= 0) return { max: 1, ticks: [0] };
  const rough = highest / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, ([1, 2, 2.5, 5, 10].find(factor => factor * power >= rough) ?? 10) * power);
  const count = Math.ceil(highest / step);
  return { max: step * count, ticks: Array.from({ length: count + 1 }, (_, index) => step * index) };
}

/** Which of many labels fit: every n-th, counted from the last one. */
export function labelledIndexes(count: number, room: number): Set<number> {
  const step = Math.max(1, Math.ceil(count / Math.max(1, room)));
  const indexes = new Set<number>();
  for (let index = count - 1; index >= 0; index -= step) indexes.add(index);
  return indexes;
}
