import { createSignal, Match, Show, Switch } from "solid-js";
import type { Period } from "../api/dashboard-api";
import type { UsageSummary } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { CopyButton } from "../features/chat/copy-button";
import { type Failure, failureOf } from "../state/failure";
import { CHAT_TEXTS, failureText } from "../texts/chat";
import { Markdown } from "../ui/markdown/markdown";
import { useDashboard, useDashboardTexts } from "./context";

/** A model's words about the period. It costs tokens, so it is written only when asked for. */
export function Summary(props: { period: Period }) {
  const { session, preferences } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const formats = useFormats();
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
            {failureText(CHAT_TEXTS[preferences.preferences.language], why())}
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
