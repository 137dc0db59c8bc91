// @vitest-environment jsdom
import { fireEvent, screen, waitFor } from "@solidjs/testing-library";
import { createSignal } from "solid-js";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { DashboardApi } from "../api/dashboard-api";
import type { DashboardUser } from "../api/dashboard-types";
import { Problem } from "../api/problem";
import { fakeBrowser, renderInApp } from "../features/render-app";
import type { Failure } from "../state/failure";
import { AdjustDialog } from "./adjust-dialog";
import { DashboardContext } from "./context";

const CARL: DashboardUser = {
  id: "u9",
  name: "Carl",
  email: null,
  company: null,
  token_balance: 1_000,
  token_held: 0,
  token_available: 1_000,
  token_grant: 50_000,
  quota: null,
  created_at: "2026-11-01T10:00:00Z",
  last_active_at: "2026-11-22T10:00:00Z",
};
const CONFLICT = new Problem(409, { code: "conflict", token_balance: 2_000 });

beforeEach(() => fakeBrowser());

function setUp(adjust: DashboardApi["adjust"] = () => Promise.resolve({ ...CARL, transactions: [] })) {
  const [user, setUser] = createSignal(CARL);
  const calls = { adjust: vi.fn(adjust), onClose: vi.fn(), onDone: vi.fn(), onReload: vi.fn() };
  const api = { adjust: calls.adjust } as unknown as DashboardApi;
  const session = { notice: (failure: Failure) => failure };
  const { container } = renderInApp(
    () => (
      <DashboardContext.Provider value={api}>
        <AdjustDialog user={user()} onClose={calls.onClose} onDone={calls.onDone} onReload={calls.onReload} />
      </DashboardContext.Provider>
    ),
    { session },
  );
  const field = (name: string) => screen.getByLabelText<HTMLInputElement>(new RegExp(`^${name}`));
  return {
    ...calls,
    field,
    type: (name: string, value: string) => fireEvent.input(field(name), { target: { value } }),
    reload: (changes: Partial<DashboardUser>) => setUser(before => ({ ...before, ...changes })),
    /** What stands below the two numbers. */
    changes: () => [...container.querySelectorAll("output")].map(output => output.textContent),
    apply: screen.getByText<HTMLButtonElement>("Apply"),
    form: container.querySelector("form") as HTMLFormElement,
    dialog: container.querySelector("dialog") as HTMLDialogElement,
  };
}

describe("what is typed", () => {
  test("stands beside what is stored, with the change", () => {
    const { type, changes } = setUp();
    expect(changes()).toEqual(["unchanged", "unchanged"]);
    type("New balance", "70000");
    type("New grant", "20000");
    expect(changes()).toEqual(["1,000 → 70,000 (+69,000)", "50,000 → 20,000 (-30,000)"]);
  });

  test("may be a debt", () => {
    const { type, changes, apply } = setUp();
    type("New balance", "-500");
    type("Reason", "Goodwill");
    expect([changes()[0], apply.disabled]).toEqual(["1,000 → -500 (-1,500)", false]);
  });

  test.each([
    ["New balance", "", 0],
    ["New balance", "1.5", 0],
    ["New balance", "9007199254740992", 0],
    ["New balance", "-9007199254740992", 0],
    ["New grant", "", 1],
    ["New grant", "0.1", 1],
    ["New grant", "-1", 1],
    ["New grant", "1e300", 1],
  ])("as %s may not be %j, and it says why", (name, value, index) => {
    const { type, changes, apply, form, adjust } = setUp();
    type("Reason", "Goodwill");
    type(name, value);
    const least = index === 0 ? "-9,007,199,254,740,991" : "0";
    expect(changes()[index]).toBe(`A whole number is needed, from ${least} to 9,007,199,254,740,991.`);
    expect(changes()[1 - index]).toBe("unchanged");
    expect(apply.disabled).toBe(true);
    fireEvent.click(apply);
    form.requestSubmit();
    expect(adjust).not.toHaveBeenCalled();
  });

  test("stays in its field when the balance moves", () => {
    const { field, type, reload } = setUp();
    type("New balance", "70000");
    reload({ token_balance: 900 });
    expect(field("New balance").value).toBe("70000");
  });
});

test.each(["", "   "])("without a reason nothing can be sent: %j", reason => {
  const { type, apply, adjust } = setUp();
  type("New balance", "70000");
  type("Reason", reason);
  expect(apply.disabled).toBe(true);
  fireEvent.click(apply);
  expect(adjust).not.toHaveBeenCalled();
});

test("without a change nothing can be sent, also when a number was typed back", () => {
  const { type, apply, field, reload } = setUp();
  type("Reason", "Goodwill");
  expect(apply.disabled).toBe(true);
  type("New balance", "70000");
  expect(apply.disabled).toBe(false);
  type("New balance", "1000");
  expect(apply.disabled).toBe(true);
  reload({ token_balance: 900 });
  expect([field("New balance").value, apply.disabled]).toEqual(["900", true]);
});

describe("what is sent", () => {
  test("names the balance that was shown", async () => {
    const { type, apply, adjust, onDone } = setUp();
    type("New balance", "70000");
    type("Reason", "  Goodwill ");
    fireEvent.click(apply);
    expect(adjust).toHaveBeenCalledExactlyOnceWith("u9", {
      reason: "Goodwill",
      token_balance: 70_000,
      expected_balance: 1_000,
    });
    await waitFor(() => expect(onDone).toHaveBeenCalledOnce());
  });

  test("is only what was changed", () => {
    const { type, apply, adjust } = setUp();
    type("New grant", "0");
    type("Reason", "Left");
    fireEvent.click(apply);
    expect(adjust).toHaveBeenCalledExactlyOnceWith("u9", { reason: "Left", token_grant: 0 });
  });

  test("is not what moved by itself in a field that nobody touched", async () => {
    const { type, apply, adjust, field, changes, reload } = setUp(() => Promise.reject(new Problem(503)));
    type("New grant", "20000");
    type("Reason", "Less");
    fireEvent.click(apply);
    await screen.findByRole("alert");
    reload({ token_balance: 640 });
    expect([field("New balance").value, changes()[0]]).toEqual(["640", "unchanged"]);
    fireEvent.click(apply);
    expect(adjust).toHaveBeenLastCalledWith("u9", { reason: "Less", token_grant: 20_000 });
  });

  test("is sent once, however often the button is pressed", async () => {
    const answer = Promise.withResolvers<never>();
    const { type, apply, form, adjust } = setUp(() => answer.promise);
    type("New balance", "70000");
    type("Reason", "Goodwill");
    fireEvent.click(apply);
    expect(apply.disabled).toBe(true);
    fireEvent.click(apply);
    form.requestSubmit();
    expect(adjust).toHaveBeenCalledOnce();
    answer.reject(new Problem(503, { code: "unavailable" }));
    await screen.findByRole("alert");
    expect(apply.disabled).toBe(false);
  });
});

describe("a balance that moved meanwhile", () => {
  async function refused() {
    const dialog = setUp(vi.fn<DashboardApi["adjust"]>().mockRejectedValueOnce(CONFLICT).mockResolvedValue({} as never));
    dialog.type("New balance", "70000");
    dialog.type("Reason", "Goodwill");
    fireEvent.click(dialog.apply);
    await waitFor(() => expect(dialog.onReload).toHaveBeenCalledOnce());
    return dialog;
  }

  test("is not told as what it was before", async () => {
    await refused();
    expect(screen.getByRole("alert").textContent).toBe("It has changed in the meantime. Nothing was changed.");
  });

  test("is shown as soon as it is known, with the change that it means", async () => {
    const { reload, changes } = await refused();
    reload({ token_balance: 2_000 });
    expect(screen.getByRole("alert").textContent).toContain("Meanwhile the balance has become 2,000.");
    expect(changes()[0]).toBe("2,000 → 70,000 (+68,000)");
  });

  test("is set only when somebody says so again", async () => {
    const { reload, adjust, apply, onDone } = await refused();
    reload({ token_balance: 2_000 });
    await Promise.resolve();
    expect([adjust.mock.calls.length, onDone.mock.calls.length]).toEqual([1, 0]);
    fireEvent.click(apply);
    expect(adjust).toHaveBeenLastCalledWith("u9", {
      reason: "Goodwill",
      token_balance: 70_000,
      expected_balance: 2_000,
    });
    await waitFor(() => expect(onDone).toHaveBeenCalledOnce());
    expect(screen.queryByRole("alert")).toBeNull();
  });
});

describe("a failure", () => {
  const fail = async (problem: unknown) => {
    const dialog = setUp(() => Promise.reject(problem));
    dialog.type("New balance", "70000");
    dialog.type("Reason", "Goodwill");
    fireEvent.click(dialog.apply);
    const alert = await screen.findByRole("alert");
    return { ...dialog, text: alert.textContent };
  };

  test("after which nothing is known says so, and reads the user again", async () => {
    const { text, onReload, onDone } = await fail(new TypeError("network"));
    expect(text).toContain("Whether it was applied is not known.");
    expect([onReload.mock.calls.length, onDone.mock.calls.length]).toEqual([1, 0]);
  });

  test("that is a refusal says that nothing was changed, and keeps what was typed", async () => {
    const { text, field, onReload } = await fail(new Problem(403, { code: "forbidden" }));
    expect(text).toBe("You are not allowed to do this. Nothing was changed.");
    expect([field("New balance").value, field("Reason").value]).toEqual(["70000", "Goodwill"]);
    expect(onReload).not.toHaveBeenCalled();
  });
});

describe("nothing is sent", () => {
  type Opened = ReturnType<typeof setUp>;

  test.each<[string, (opened: Opened) => void]>([
    ["Cancel", () => fireEvent.click(screen.getByText("Cancel"))],
    ["the cross", () => fireEvent.click(screen.getByLabelText("Close"))],
    // As the browser does at Escape.
    ["Escape", ({ dialog }) => dialog.close()],
    ["a click beside it", ({ dialog }) => fireEvent.pointerDown(dialog)],
  ])("at %s", (_, leave) => {
    const opened = setUp();
    opened.type("New balance", "70000");
    opened.type("Reason", "Goodwill");
    leave(opened);
    expect(opened.onClose).toHaveBeenCalledOnce();
    expect([opened.adjust.mock.calls, opened.onDone.mock.calls]).toEqual([[], []]);
  });
});
