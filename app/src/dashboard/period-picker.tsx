import { createMemo, For } from "solid-js";
import { useApp } from "../features/app-context";
import { useDashboardTexts } from "./context";
import { browserZone, type PeriodChoice } from "./create-period";
import { addDays, DAYS_MAX, isDay, PRESETS } from "./period";

export function PeriodPicker(props: { choice: PeriodChoice }) {
  const { navigation } = useApp();
  const texts = useDashboardTexts();
  function setDay(edge: "from" | "to", day: string) {
    if (!isDay(day)) return;
    const range = props.choice.range();
    const from = edge === "from" ? day : range.from;
    const to = edge === "to" ? day : range.to;
    // The other edge gives way where the two would not make a range.
    const other =
      edge === "from"
        ? { to: to < from ? from : min(to, addDays(from, DAYS_MAX - 1)) }
        : { from: from > to ? to : max(from, addDays(to, 1 - DAYS_MAX)) };
    navigation.setQuery({ from, to, ...other, range: undefined, pages: undefined });
  }

  return (
    <div class="filters">
      <fieldset class="segments" aria-label={texts().period}>
        <For each={PRESETS}>
          {preset => (
            <button
              type="button"
              aria-pressed={props.choice.range().preset === preset}
              onClick={() => navigation.setQuery({ range: preset, from: undefined, to: undefined, pages: undefined })}
            >
              {texts().presets[preset]}
            </button>
          )}
        </For>
      </fieldset>
      <label class="field">
        <span>{texts().from}</span>
        <input
          type="date"
          value={props.choice.range().from}
          onChange={event => setDay("from", event.currentTarget.value)}
        />
      </label>
      <label class="field">
        <span>{texts().to}</span>
        <input
          type="date"
          value={props.choice.range().to}
          onChange={event => setDay("to", event.currentTarget.value)}
        />
      </label>
    </div>
  );
}

const min = (a: string, b: string) => (a < b ? a : b);
const max = (a: string, b: string) => (a > b ? a : b);

/** Which days are meant: the zone stands on the page and in the address. */
export function ZonePicker(props: { choice: PeriodChoice }) {
  const { navigation } = useApp();
  const texts = useDashboardTexts();
  const near = createMemo(() => [...new Set([browserZone(), "UTC", props.choice.zone()])]);
  return (
    <label class="field zone">
      <span>{texts().zone}</span>
      <select
        value={props.choice.zone()}
        onChange={event => navigation.setQuery({ tz: event.currentTarget.value, pages: undefined })}
      >
        <For each={near()}>{zone => <option value={zone}>{zone}</option>}</For>
        <optgroup label={texts().otherZones}>
          <For each={Intl.supportedValuesOf("timeZone")}>{zone => <option value={zone}>{zone}</option>}</For>
        </optgroup>
      </select>
    </label>
  );
}
