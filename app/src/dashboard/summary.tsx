import { createSignal, For, Match, Show, Switch } from "solid-js";
import type { Period } from "../api/dashboard-api";
import type { UsageAnswer, UsageSummary } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { CopyButton } from "../features/chat/copy-button";
import { type Failure, failureOf } from "../state/failure";
import { CHAT_TEXTS } from "../texts/chat";
import { Markdown } from "../ui/markdown/markdown";
import { useDashboard, useDashboardTexts, useFailureText } from "./context";
import { daysOfSpan } from "./period";

/** Those of the figures that the model was given which are shown beside its words. */
type SummaryFigures = Pick<UsageAnswer, "date_from" | "date_to" | "tz" | "totals" | "previous">;

/** A model's words about the period. It costs tokens, so it is written only when asked for. */
export function Summary(props: { period: Period }) {
  const { session, preferences } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const formats = useFormats();
  const failureText = useFailureText();
  const [written, setWritten] = createSignal<UsageSummary & { of: Period }>();
  const [isWriting, setWriting] = createSignal(false);
  const [failure, setFailure] = createSignal<Failure>();

  async function write() {
    const of = props.period;
    setWriting(true);
    setFailure(undefined);
    try {
      setWritten({ ...(await api.summarise(of)), of });
    } catch (error) {
      setFailure(session.notice(failureOf(error)));
    } finally {
      setWriting(false);
    }
  }

  return (
    <section class="panel summary">
      <div class="panel-head">
        <h2>{texts().summary}</h2>
        <Show when={written()}>{summary => <CopyButton text={summary().summary} />}</Show>
      </div>
      <Show when={failure()}>
        {why => (
          <p class="notice problem" role="alert">
            {failureText(why())}
          </p>
        )}
      </Show>
      <Switch fallback={<p class="detail">{texts().summaryText}</p>}>
        <Match when={isWriting()}>
          <p class="thinking" role="status">
            {texts().writing}
          </p>
        </Match>
        <Match when={written()}>
          {summary => (
            <>
              <Markdown
                text={summary().summary}
                isComplete={true}
                files={[]}
                labels={CHAT_TEXTS[preferences.preferences.language]}
              />
              <Figures of={summary().figures as SummaryFigures} />
              <Show when={summary().corrected.length > 0}>
                <p class="notice warning">{texts().corrected(summary().corrected.join(", "))}</p>
              </Show>
              <p class="detail">
                {texts().writtenBy(summary().model, formats().stamp(new Date(summary().generated_at)))}{" "}
                <Show when={summary().of !== props.period}>{texts().summaryOutdated}</Show>
              </p>
            </>
          )}
        </Match>
      </Switch>
      <button type="button" class="secondary" disabled={isWriting()} onClick={() => void write()}>
        {written() ? texts().writeAgain : texts().writeSummary}
      </button>
    </section>
  );
}

/** The period and the totals that the words are about. */
function Figures(props: { of: SummaryFigures }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const shown = (): [name: string, value: string][] => {
    const { number, span } = formats();
    const { totals, previous, tz } = props.of;
    return [
      [texts().period, `${span(daysOfSpan(props.of))} (${tz})`],
      [texts().totalTokens, number(totals.total_tokens)],
      [texts().inputTokens, number(totals.input_tokens)],
      [texts().outputTokens, number(totals.output_tokens)],
      [texts().runs, number(totals.runs)],
      [texts().activeUsers, number(totals.active_users)],
      [
        texts().tokensBefore,
        `${number(previous.totals.total_tokens)} (${span(daysOfSpan({ ...previous, tz }))})`,
      ],
    ];
  };
  return (
    <dl class="written-from" aria-label={texts().writtenFrom}>
      <For each={shown()}>
        {([name, value]) => (
          <div>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        )}
      </For>
    </dl>
  );
}
