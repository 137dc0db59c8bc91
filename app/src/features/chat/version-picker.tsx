import { Show } from "solid-js";
import type { Exchange } from "../../state/conversation";
import { Icon } from "../../ui/icon";
import { useApp, useTexts } from "../app-context";

interface VersionPickerProps {
  threadId: string | undefined;
  exchange: Exchange;
  /** All versions of the exchange, oldest first. */
  versions: readonly Exchange[];
}

/** What was asked again is kept: this leads through the versions. */
export function VersionPicker(props: VersionPickerProps) {
  const app = useApp();
  const texts = useTexts();
  const number = () => props.versions.findIndex(({ key }) => key === props.exchange.key) + 1;
  const go = (step: -1 | 1) => {
    const version = props.versions[number() - 1 + step];
    if (props.threadId && version) app.conversations.choose(props.threadId, version);
  };

  const button = (step: -1 | 1, isOff: () => boolean) => (
    <button
      type="button"
      class="icon-button small"
      classList={{ back: step < 0, on: step > 0 }}
      aria-label={step < 0 ? texts().earlierVersion : texts().laterVersion}
      title={step < 0 ? texts().earlierVersion : texts().laterVersion}
      disabled={isOff()}
      onClick={() => go(step)}
    >
      <Icon name="chevron" />
    </button>
  );
  return (
    <Show when={props.versions.length > 1}>
      <span class="versions">
        {button(-1, () => number() <= 1)}
        <span>
          {number()}/{props.versions.length}
        </span>
        {button(1, () => number() >= props.versions.length)}
      </span>
    </Show>
  );
}
