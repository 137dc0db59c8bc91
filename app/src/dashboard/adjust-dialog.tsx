import { type Accessor, createMemo, createSignal, Show } from "solid-js";
import type { DashboardUser } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { type Failure, failureOf } from "../state/failure";
import { Dialog } from "../ui/dialog";
import { useDashboard, useDashboardTexts, useFailureText } from "./context";

const TOKENS_MAX = 2 ** 53 - 1;
const REASON_CHARACTERS_MAX = 500;

interface AdjustDialogProps {
  user: DashboardUser;
  onClose: () => void;
  onDone: () => void;
  /** The user is, or may be, another one by now than the one shown. */
  onReload: () => void;
}

/** Whether something was changed stays unknown when no answer came. */
const UNKNOWN: Failure["kind"][] = ["unavailable", "unreachable", "offline"];

/** Old and new side by side; only what was changed is sent, and what moved meanwhile is not overwritten. */
export function AdjustDialog(props: AdjustDialogProps) {
  const { session } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const formats = useFormats();
  const failureText = useFailureText();
  const balance = createTokensField(() => props.user.token_balance, -TOKENS_MAX);
  const grant = createTokensField(() => props.user.token_grant, 0);
  const [reason, setReason] = createSignal("");
  const [isSaving, setSaving] = createSignal(false);
  const [failure, setFailure] = createSignal<Failure>();
  const [expected, setExpected] = createSignal<number>();

  const isChanged = () => balance.isChanged() || grant.isChanged();
  const isValid = () => balance.isValid() && grant.isValid() && reason().trim() !== "";
  /** What it has become is known only when the user was read again. */
  const hasMoved = () => failure()?.kind === "conflict" && props.user.token_balance !== expected();

  async function apply(event: SubmitEvent) {
    event.preventDefault();
    if (isSaving()) return;
    setSaving(true);
    setFailure(undefined);
    try {
      const { id, token_balance } = props.user;
      setExpected(token_balance);
      await api.adjust(id, {
        reason: reason().trim(),
        ...(balance.isChanged() && { token_balance: balance.tokens(), expected_balance: token_balance }),
        ...(grant.isChanged() && { token_grant: grant.tokens() }),
      });
      props.onDone();
    } catch (error) {
      const why = session.notice(failureOf(error));
      setFailure(why);
      if (why.kind === "conflict" || UNKNOWN.includes(why.kind)) props.onReload();
    } finally {
      setSaving(false);
    }
  }

  return (
    <Dialog
      title={texts().adjustTitle(props.user.name ?? props.user.id)}
      closeLabel={texts().close}
      onClose={props.onClose}
    >
      <form class="form" onSubmit={apply}>
        <TokensInput label={texts().newBalance} field={balance} />
        <TokensInput label={texts().newGrant} field={grant} help={texts().grantHelp} />
        <label>
          {texts().reason}
          <input
            required
            maxLength={REASON_CHARACTERS_MAX}
            value={reason()}
            onInput={event => setReason(event.currentTarget.value)}
          />
          <small>{texts().reasonHelp}</small>
        </label>
        <Show when={failure()}>
          {why => (
            <p class="notice problem" role="alert">
              {hasMoved()
                ? texts().moved(formats().number(props.user.token_balance))
                : `${failureText(why())} ${UNKNOWN.includes(why().kind) ? texts().notKnown : texts().notApplied}`}
            </p>
          )}
        </Show>
        <div class="form-actions">
          <button type="button" class="secondary" onClick={() => props.onClose()}>
            {texts().cancel}
          </button>
          <button type="submit" class="primary" disabled={!isChanged() || !isValid() || isSaving()}>
            {texts().apply}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface TokensField {
  stored: Accessor<number>;
  least: number;
  /** NaN for what is no number. */
  tokens: Accessor<number>;
  text: Accessor<string>;
  isChanged: Accessor<boolean>;
  isValid: Accessor<boolean>;
  type(text: string): void;
}

/** Goes with what is stored until something else is typed. */
function createTokensField(stored: Accessor<number>, least: number): TokensField {
  const [typed, setTyped] = createSignal<string>();
  const tokens = () => {
    const text = typed();
    return text === undefined ? stored() : tokensOf(text);
  };
  return {
    stored,
    least,
    tokens,
    // What was typed is never written back: half a number, as a minus alone, has to stay in its field.
    text: createMemo((before: string) => (typed() === undefined ? String(stored()) : before), ""),
    isChanged: () => tokens() !== stored(),
    isValid: () => Number.isSafeInteger(tokens()) && tokens() >= least,
    type: text => setTyped(tokensOf(text) === stored() ? undefined : text),
  };
}

function TokensInput(props: { label: string; field: TokensField; help?: string }) {
  const texts = useDashboardTexts();
  const formats = useFormats();
  const change = () => {
    const { stored, tokens, least, isChanged, isValid } = props.field;
    const { number, change } = formats();
    if (!isValid()) return texts().tokensNeeded(number(least), number(TOKENS_MAX));
    if (!isChanged()) return texts().unchanged;
    return texts().change(number(stored()), number(tokens()), change(tokens() - stored()));
  };
  return (
    <label>
      {props.label}
      <input
        type="number"
        required
        min={props.field.least}
        max={TOKENS_MAX}
        step="1"
        value={props.field.text()}
        onInput={event => props.field.type(event.currentTarget.value)}
      />
      <output>{change()}</output>
      <Show when={props.help}>
        <small>{props.help}</small>
      </Show>
    </label>
  );
}

/** A field of numbers gives no text for what is none. */
function tokensOf(text: string): number {
  return text.trim() === "" ? Number.NaN : Number(text);
}
