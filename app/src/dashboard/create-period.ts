import { type Accessor, createEffect, createMemo } from "solid-js";
import type { Period } from "../api/dashboard-api";
import { useApp } from "../features/app-context";
import { type DayRange, dayIn, type Preset, rangeOfQuery } from "./period";

export interface PeriodChoice {
  range: Accessor<DayRange & { preset: Preset | undefined }>;
  zone: Accessor<string>;
  /** As the server wants it. */
  period: Accessor<Period>;
}

/** The period that the address asks for, so that it can be shared and the back button works. */
export function createPeriod(): PeriodChoice {
  const { navigation } = useApp();
  const zone = createZone();
  const range = createMemo(() => rangeOfQuery(navigation.query(), dayIn(zone(), new Date())));
  const period = createMemo(() => ({ date_from: range().from, date_to: range().to, tz: zone() }), undefined, {
    equals: (a, b) => a.date_from === b.date_from && a.date_to === b.date_to && a.tz === b.tz,
  });
  return { range, zone, period };
}

/** The zone that the address names. Without one it is the reader's, and is written there. */
export function createZone(): Accessor<string> {
  const { navigation } = useApp();
  const known = createMemo(() => knownZone(navigation.query().get("tz")));
  createEffect(() => {
    if (known() === undefined) navigation.setQuery({ tz: browserZone() }, { replace: true });
  });
  return () => known() ?? browserZone();
}

export function browserZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function knownZone(name: string | null): string | undefined {
  if (!name) return undefined;
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}
