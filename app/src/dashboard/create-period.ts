import { type Accessor, batch, createEffect, createMemo, createSignal } from "solid-js";
import type { Period } from "../api/dashboard-api";
import { useApp } from "../features/app-context";
import type { ServerQuery } from "./create-query";
import { type DayRange, dayIn, type Preset, rangeOfQuery } from "./period";

export interface PeriodChoice {
  range: Accessor<DayRange & { preset: Preset | undefined }>;
  zone: Accessor<string>;
  /** As the server wants it. */
  period: Accessor<Period>;
  /** Takes the day anew: a page may be open over midnight. */
  renew(): void;
  /** The query, which takes the day anew whenever somebody asks for it again. */
  renewing<T>(query: ServerQuery<T>): ServerQuery<T>;
}

/** The period that the address asks for, so that it can be shared and the back button works. */
export function createPeriod(): PeriodChoice {
  const { navigation } = useApp();
  const zone = createZone();
  const [round, setRound] = createSignal(0);
  const range = createMemo(() => {
    round();
    return rangeOfQuery(navigation.query(), dayIn(zone(), new Date()));
  });
  const period = createMemo(() => ({ date_from: range().from, date_to: range().to, tz: zone() }), undefined, {
    equals: (a, b) => a.date_from === b.date_from && a.date_to === b.date_to && a.tz === b.tz,
  });
  const renew = () => void setRound(number => number + 1);
  const renewing = <T>(query: ServerQuery<T>): ServerQuery<T> => ({
    ...query,
    // Another day and another round at once: they are one question.
    reload: () =>
      batch(() => {
        renew();
        query.reload();
      }),
  });
  return { range, zone, period, renew, renewing };
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
