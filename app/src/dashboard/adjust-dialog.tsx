import { createSignal, Show } from "solid-js";
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
  // What was typed, and never written back: half a number, as a minus alone, has to stay in its field.
  const [balanceText, setBalanceText] = createSignal(String(props.user.token_balance));
  const [grantText, setGrantText] = createSignal(String(props.user.token_grant));
  const [initialBalance, initialGrant] = [balanceText(), grantText()];
  const [reason, setReason] = createSignal("");
  const [isSaving, setSaving] = createSignal(false);
  const [failure, setFailure] = createSignal<Failure>();

  const balance = () => tokensOf(balanceText());
  const grant = () => tokensOf(grantText());
  const isChanged = () => balance() !== props.user.token_balance || grant() !== props.user.token_grant;
  const isValid = () => [balance(), grant()].every(Number.isSafeInteger) && reason().trim() !== "";
  const changeOf = (from: number, to: number) => {
    if (!Number.isSafeInteger(to)) return texts().none;
    if (from === to) return texts().unchanged;
    return texts().change(formats().number(from), formats().number(to), formats().change(to - from));
  };

  async function apply(event: SubmitEvent) {
    event.preventDefault();
    if (isSaving()) return;
    setSaving(true);
    setFailure(undefined);
    try {
      const { token_balance, token_grant } = props.user;
      await api.adjust(props.user.id, {
        reason: reason().trim(),
        ...(balance() !== token_balance && { token_balance: balance(), expected_balance: token_balance }),
        ...(grant() !== token_grant && { token_grant: grant() }),
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
        <label>
          {texts().newBalance}
          <input
            type="number"
            required
            step="1"
            max={TOKENS_MAX}
            value={initialBalance}
            onInput={event => setBalanceText(event.currentTarget.value)}
          />
          <output>{changeOf(props.user.token_balance, balance())}</output>
        </label>
        <label>
          {texts().newGrant}
          <input
            type="number"
            required
            min="0"
            step="1"
            max={TOKENS_MAX}
            value={initialGrant}
            onInput={event => setGrantText(event.currentTarget.value)}
          />
          <output>{changeOf(props.user.token_grant, grant())}</output>
          <small>{texts().grantHelp}</small>
        </label>
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
              {why().kind === "conflict"
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

/** NaN for what is no number, which a field of numbers gives as no text. */
function tokensOf(text: string): number {
  return text.trim() === "" ? Number.NaN : Number(text);
}
