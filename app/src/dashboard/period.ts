/** Periods of whole days in a time zone. Days are strings, so that no clock or offset can shift one. Pure. */

export const PRESETS = ["today", "7d", "30d", "month", "last_month", "90d", "year"] as const;
export type Preset = (typeof PRESETS)[number];

export interface DayRange {
  /** First day, as 2026-11-22. */
  from: string;
  /** Last day, which is part of the range. */
  to: string;
}

const DAY_PATTERN = /^\d{4}-\d{2}-\d{2}$/;
export const DEFAULT_PRESET: Preset = "30d";
/** The longest span that the server adds up. */
export const DAYS_MAX = 366;

/** The day it is somewhere. */
export function dayIn(zone: string, at: Date): string {
  return new Intl.DateTimeFormat("en-CA", { timeZone: zone, dateStyle: "short" }).format(at);
}

export function presetRange(preset: Preset, today: string): DayRange {
  const monthStart = `${today.slice(0, 8)}01`;
  switch (preset) {
    case "today":
      return { from: today, to: today };
    case "7d":
      return { from: addDays(today, -6), to: today };
    case "30d":
      return { from: addDays(today, -29), to: today };
    case "90d":
      return { from: addDays(today, -89), to: today };
    case "month":
      return { from: monthStart, to: today };
    case "last_month": {
      const to = addDays(monthStart, -1);
      return { from: `${to.slice(0, 8)}01`, to };
    }
    case "year":
      return { from: addDays(today, 1 - DAYS_MAX), to: today };
  }
}

/** Reads the range that an address asks for; what is not one becomes the default. */
export function rangeOfQuery(
  query: URLSearchParams,
  today: string,
): DayRange & { preset: Preset | undefined } {
  const from = query.get("from") ?? "";
  const to = query.get("to") ?? "";
  if (isDay(from) && isDay(to) && from <= to && daysBetween(from, to) < DAYS_MAX) {
    return { from, to, preset: undefined };
  }
  const preset = PRESETS.find(name => name === query.get("range")) ?? DEFAULT_PRESET;
  return { ...presetRange(preset, today), preset };
}

/** The days of a span as the server names it: two moments, of which the second is no more part of it. */
export function daysOfSpan(span: { date_from: string; date_to: string; tz: string }): DayRange {
  const last = new Date(Date.parse(span.date_to) - 1);
  return { from: dayIn(span.tz, new Date(span.date_from)), to: dayIn(span.tz, last) };
}

export function addDays(day: string, days: number): string {
  const date = new Date(`${day}T00:00:00Z`);
  date.setUTCDate(date.getUTCDate() + days);
  return date.toISOString().slice(0, 10);
}

export function daysBetween(from: string, to: string): number {
  return Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / 86_400_000);
}

/** All days of a range, so that a day without usage is a gap in the chart and not missing from it. */
export function daysOf({ from, to }: DayRange): string[] {
  return Array.from({ length: daysBetween(from, to) + 1 }, (_, index) => addDays(from, index));
}

/** A day as a date whose parts are read in UTC, for formatting. */
export function dateOfDay(day: string): Date {
  return new Date(`${day.length === 7 ? `${day}-01` : day}T00:00:00Z`);
}

export function isDay(text: string): boolean {
  return DAY_PATTERN.test(text) && !Number.isNaN(Date.parse(`${text}T00:00:00Z`));
}
