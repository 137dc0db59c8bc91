import { createSignal, For, Show } from "solid-js";
import { balanceLevel, balanceShare } from "../../state/balance";
import { LANGUAGES, type Language, THEMES, type Theme } from "../../state/preferences";
import { operatorPath } from "../../state/route";
import { CHAT_TEXTS } from "../../texts/chat";
import { Icon } from "../../ui/icon";
import { Menu } from "../../ui/menu";
import { useApp, useFormats, useTexts } from "../app-context";
import { ShortcutList } from "../shortcuts";

/** Who is here, what is left, and the settings. */
export function AccountPanel() {
  const app = useApp();
  const texts = useTexts();
  const [showsShortcuts, setShowsShortcuts] = createSignal(false);
  const name = () => app.session.account.name ?? app.session.account.userId;

  return (
    <div class="account">
      <Balance />
      <Menu
        class="account-button"
        title={texts().account}
        trigger={
          <>
            <span class="avatar" aria-hidden="true">
              {name().slice(0, 1).toUpperCase()}
            </span>
            <span class="account-name">
              <b>{name()}</b>
              <Show when={app.session.account.company}>{company => <small>{company()}</small>}</Show>
            </span>
            <Icon name="chevron" />
          </>
        }
      >
        <Show when={app.session.account.isOperator}>
          <a href={operatorPath("usage")} data-closes>
            <Icon name="chart" />
            {texts().dashboard}
          </a>
        </Show>
        <Settings />
        <button type="button" data-closes onClick={() => setShowsShortcuts(true)}>
          <Icon name="list" />
          {texts().shortcuts}
        </button>
      </Menu>
      <Show when={showsShortcuts()}>
        <ShortcutList onClose={() => setShowsShortcuts(false)} />
      </Show>
    </div>
  );
}

export function Balance() {
  const { account } = useApp().session;
  const texts = useTexts();
  const formats = useFormats();
  const level = () => balanceLevel(account.tokenBalance, account.tokensWhenFull);

  return (
    <div class="balance" data-level={level()}>
      <span class="balance-text">{texts().tokensLeft(formats().number(account.tokenBalance))}</span>
      <meter
        aria-label={texts().tokens}
        min="0"
        max="1"
        value={balanceShare(account.tokenBalance, account.tokensWhenFull)}
      />
    </div>
  );
}

function Settings() {
  const { preferences, set } = useApp().preferences;
  const texts = useTexts();

  return (
    <div class="settings">
      <label>
        <span>{texts().theme}</span>
        <select
          value={preferences.theme}
          onChange={event => set("theme", event.currentTarget.value as Theme)}
        >
          <For each={THEMES}>{theme => <option value={theme}>{texts().themes[theme]}</option>}</For>
        </select>
      </label>
      <label>
        <span>{texts().languageLabel}</span>
        <select
          value={preferences.language}
          onChange={event => set("language", event.currentTarget.value as Language)}
        >
          <For each={LANGUAGES}>
            {language => <option value={language}>{CHAT_TEXTS[language].language}</option>}
          </For>
        </select>
      </label>
    </div>
  );
}
