/** Pages that stand in for the chat when it cannot be shown. */

import { type JSX, Show } from "solid-js";
import type { Failure } from "../../state/failure";
import { chatPath } from "../../state/route";
import { failureText } from "../../texts/chat";
import { useTexts } from "../app-context";

function Page(props: { title: string; text?: string | undefined; children?: JSX.Element }) {
  return (
    <div class="page" role="alert">
      <h1>{props.title}</h1>
      <Show when={props.text}>{text => <p>{text()}</p>}</Show>
      {props.children}
    </div>
  );
}

export function SignedOut(props: { loginUrl: string | undefined; wasOpen: boolean }) {
  const texts = useTexts();
  const title = () => (props.wasOpen ? texts().sessionEndedTitle : texts().signedOutTitle);
  const text = () => (props.wasOpen ? texts().sessionEndedText : texts().signedOutText);
  return (
    <main>
      <Page title={title()} text={text()}>
        <Show when={props.loginUrl}>
          {url => (
            <a class="primary" href={url()} rel="noreferrer">
              {texts().signIn}
            </a>
          )}
        </Show>
      </Page>
    </main>
  );
}

export function OpenFailed(props: { failure: Failure; onRetry: () => void }) {
  const texts = useTexts();
  return (
    <main>
      <Page title={texts().openFailedTitle} text={failureText(texts(), props.failure)}>
        <button type="button" class="primary" onClick={() => props.onRetry()}>
          {texts().retry}
        </button>
      </Page>
    </main>
  );
}

export function ThreadFailure(props: { failure: Failure | undefined; onRetry: () => void }) {
  const texts = useTexts();
  const isMissing = () => props.failure?.kind === "not_found" || props.failure?.kind === "other";
  return (
    <Show
      when={isMissing()}
      fallback={
        <Page title={props.failure ? failureText(texts(), props.failure) : ""}>
          <button type="button" class="primary" onClick={() => props.onRetry()}>
            {texts().retry}
          </button>
        </Page>
      }
    >
      <Page title={texts().threadMissingTitle} text={texts().threadMissingText}>
        <a class="primary" href={chatPath()}>
          {texts().newChat}
        </a>
      </Page>
    </Show>
  );
}

/** Something in the app itself went wrong. `onRetry` loads the page anew. */
export function Broken(props: { onRetry: () => void }) {
  const texts = useTexts();
  return (
    <main>
      <Page title={texts().brokenTitle} text={texts().brokenText}>
        <button type="button" class="primary" onClick={() => props.onRetry()}>
          {texts().retry}
        </button>
      </Page>
    </main>
  );
}

export function UnknownPage() {
  const texts = useTexts();
  return (
    <main>
      <Page title={texts().unknownPageTitle}>
        <a class="primary" href={chatPath()}>
          {texts().newChat}
        </a>
      </Page>
    </main>
  );
}
