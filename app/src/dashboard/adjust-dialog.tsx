import { createSignal, Show } from "solid-js";
import type { DashboardUser } from "../api/dashboard-types";
import { useApp, useFormats } from "../features/app-context";
import { type Failure, failureOf } from "../state/failure";
import { CHAT_TEXTS, failureText } from "../texts/chat";
import { Dialog } from "../ui/dialog";
import { useDashboard, useDashboardTexts } from "./context";

const TOKENS_MAX = 2 ** 53 - 1;
const REASON_CHARACTERS_MAX = 500;

interface AdjustDialogProps {
  user: DashboardUser;
  onClose: () => void;
  onDone: () => void;
  /** The balance is another one by now. */
  onMoved: () => void;
}

/** Old and new side by side; what moved meanwhile is not overwritten. */
export function AdjustDialog(props: AdjustDialogProps) {
  const { session, preferences } = useApp();
  const api = useDashboard();
  const texts = useDashboardTexts();
  const formats = useFormats();
  const [balance, setBalance] = createSignal(props.user.token_balance);
  const [grant, setGrant] = createSignal(props.user.token_grant);
  const [reason, setReason] = createSignal("");
  const [isSaving, setSaving] = createSignal(false);
  const [failure, setFailure] = createSignal<Failure>();

  const isChanged = () => balance() !== props.user.token_balance || grant() !== props.user.token_grant;
  const isValid = () => [balance(), grant()].every(Number.isSafeInteger) && reason().trim() !== "";
  const changeOf = (from: number, to: number) => {
    if (!Number.isSafeInteger(to)) return texts().none;
    if (from === to) return texts().unchanged;
    return texts().change(formats().number(from), formats().number(to), formats().change(to - from));
  };

  async function apply(event: SubmitEvent) {
    event.preventDefault();
    setSaving(true);
    setFailure(undefined);
    try {
      await api.adjust(props.user.id, {
        token_balance: balance(),
        token_grant: grant(),
        reason: reason().trim(),
        expected_balance: props.user.token_balance,
      });
      props.onDone();
    } catch (error) {
      const why = session.notice(failureOf(error));
      setFailure(why);
      if (why.kind === "conflict") props.onMoved();
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
            value={balance()}
            onInput={event => setBalance(event.currentTarget.valueAsNumber)}
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
            value={grant()}
            onInput={event => setGrant(event.currentTarget.valueAsNumber)}
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
                : `${failureText(CHAT_TEXTS[preferences.preferences.language], why())} ${texts().notApplied}`}
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
