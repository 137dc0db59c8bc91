/** Numbers and dates as the reader's language writes them. */

import type { Language } from "../state/preferences";

export interface Formats {
  number(value: number): string;
  /** Signed, for changes. */
  change(value: number): string;
  percent(share: number): string;
  changePercent(share: number): string;
  /** Short, for axes. */
  compact(value: number): string;
  /** Days of the calendar, given as midnight in UTC. */
  calendarDay(date: Date): string;
  calendarDayShort(date: Date): string;
  calendarMonth(date: Date): string;
  /** Days from the first to the last, as 2026-11-22. */
  span(days: { from: string; to: string }): string;
  /** To the minute, in a time zone, for tables. */
  stamp(date: Date, zone?: string): string;
  day(date: Date): string;
  dayAndTime(date: Date): string;
  time(date: Date): string;
  month(date: Date): string;
}

const LOCALES: Record<Language, string> = { en: "en-GB", de: "de-DE" };

export function makeFormats(language: Language): Formats {
  const locale = LOCALES[language];
  const number = new Intl.NumberFormat(locale);
  const change = new Intl.NumberFormat(locale, { signDisplay: "exceptZero" });
  const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
  const changePercent = new Intl.NumberFormat(locale, {
    style: "percent",
    maximumFractionDigits: 0,
    signDisplay: "exceptZero",
  });
  const compact = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
  const date = (options: Intl.DateTimeFormatOptions) => {
    const format = new Intl.DateTimeFormat(locale, options);
    return (value: Date) => format.format(value);
  };
  const span = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" });
  return {
    number: value => number.format(value),
    change: value => change.format(value),
    percent: share => percent.format(share),
    changePercent: share => changePercent.format(share),
    compact: value => compact.format(value),
    calendarDay: date({ day: "numeric", month: "long", year: "numeric", timeZone: "UTC" }),
    calendarDayShort: date({ day: "numeric", month: "short", timeZone: "UTC" }),
    calendarMonth: date({ month: "long", year: "numeric", timeZone: "UTC" }),
    span: ({ from, to }) => span.formatRange(new Date(`${from}T00:00:00Z`), new Date(`${to}T00:00:00Z`)),
    stamp: (value, zone) =>
      value.toLocaleString(locale, {
        dateStyle: "medium",
        timeStyle: "short",
        ...(zone && { timeZone: zone }),
      }),
    day: date({ day: "numeric", month: "long", year: "numeric" }),
    dayAndTime: date({ weekday: "long", day: "numeric", month: "long", hour: "2-digit", minute: "2-digit" }),
    time: date({ hour: "2-digit", minute: "2-digit" }),
    month: date({ month: "long", year: "numeric" }),
  };
}
