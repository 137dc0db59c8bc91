import { Show } from "solid-js";
import type { Failure } from "../../state/failure";
import { useApp, useFormats, useTexts } from "../app-context";

/** Plain words instead of an error: what it means, when it ends, whom to ask. */
export function OutOfTokens(props: { failure: Failure | undefined; onRefreshed: () => void }) {
  const app = useApp();
  const texts = useTexts();
  const formats = useFormats();
  const { account } = app.session;
  const nextGrantAt = () =>
    (props.failure?.kind === "out_of_tokens" && props.failure.nextGrantAt) || account.nextGrantAt;
  /** Some are left, but fewer than this message needs. */
  const hasSome = () => account.tokenBalance > 0;

  async function check() {
    await app.session.refresh();
    props.onRefreshed();
  }

  return (
    <section class="out-of-tokens" role="status">
      <h2>{hasSome() ? texts().failures.out_of_tokens : texts().outOfTokens}</h2>
      <p>
        {texts().outOfTokensText}{" "}
        <Show when={nextGrantAt()} fallback={account.moreTokensUrl ? "" : texts().askForTokens}>
          {date => texts().nextGrant(formats().dayAndTime(new Date(date())))}
        </Show>
      </p>
      <p class="ways-on">
        <Show when={account.moreTokensUrl}>
          {url => (
            <a class="link" href={url()} target="_blank" rel="noreferrer">
              {texts().moreTokens}
            </a>
          )}
        </Show>
        <button type="button" class="link" onClick={() => void check()}>
          {texts().checkTokens}
        </button>
      </p>
    </section>
  );
}
