// @vitest-environment jsdom
import { fireEvent, screen, waitFor, within } from "@solidjs/testing-library";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { DashboardApi } from "../api/dashboard-api";
import type { WaitingItem } from "../api/dashboard-types";
import { Problem } from "../api/problem";
import { fakeBrowser, renderInApp } from "../features/render-app";
import { createPreferences } from "../state/preferences";
import type { Failure } from "../state/failure";
import { DashboardContext } from "./context";
import { WaitingNotifications } from "./waiting-notifications";

const OLDER: WaitingItem = {
  id: "person:7",
  version: "w:1:older",
  why: "several_users",
  person_id: 7,
  user_id: "u1",
  emails: ["ada@example.com"],
  name: "Ada Lovelace",
  value: "50000",
  actor: "pipedrive",
  reason: "quota",
  at: "2026-11-22T10:00:00Z",
  since: "2026-11-22T10:00:00Z",
};
const NEWER: WaitingItem = { ...OLDER, version: "w:1:newer", value: "70000" };

beforeEach(() => fakeBrowser());

/** The list has the older one when it is read first, and from then on the newer one, unless told otherwise. */
async function setUp(resolve: DashboardApi["resolve"], language: "en" | "de" = "en", then = [NEWER]) {
  const waiting = vi
    .fn<DashboardApi["waiting"]>()
    .mockResolvedValueOnce({ items: [OLDER], total: 1 })
    .mockResolvedValue({ items: then, total: then.length });
  const calls = { waiting, resolve: vi.fn(resolve) };
  const { container } = renderInApp(
    () => (
      <DashboardContext.Provider value={calls as unknown as DashboardApi}>
        <WaitingNotifications />
      </DashboardContext.Provider>
    ),
    {
      session: { notice: (failure: Failure) => failure },
      preferences: createPreferences(localStorage, [language]),
    },
  );
  const open = async () => {
    fireEvent.click(await screen.findByText(language === "en" ? "Decide" : "Entscheiden"));
    return within(container.querySelector("dialog") as HTMLDialogElement);
  };
  return { ...calls, container, open };
}

const applied = () => Promise.resolve({ status: "applied" });
const conflict = () => Promise.reject(new Problem(409, { code: "conflict" }));
const stale = () => Promise.resolve({ status: "stale", why: "something newer waits" });

describe("a decision", () => {
  test("names the version that was shown", async () => {
    const { open, resolve } = await setUp(applied);
    fireEvent.click((await open()).getByText("Apply"));
    expect(resolve).toHaveBeenCalledExactlyOnceWith({
      id: "person:7",
      version: "w:1:older",
      action: "apply",
      user_id: "u1",
      quota: 50_000,
    });
  });

  test("to dismiss it names it too", async () => {
    const { open, resolve } = await setUp(applied);
    fireEvent.click((await open()).getByText("Dismiss"));
    expect(resolve).toHaveBeenCalledExactlyOnceWith({
      id: "person:7",
      version: "w:1:older",
      action: "dismiss",
    });
  });

  test("that failed otherwise stays in its dialog", async () => {
    const { open, waiting } = await setUp(() => Promise.reject(new Problem(503, { code: "unavailable" })));
    const dialog = await open();
    fireEvent.click(dialog.getByText("Apply"));
    expect(await dialog.findByRole("alert")).toBeTruthy();
    expect(waiting).toHaveBeenCalledOnce();
  });
});

describe.each([
  ["before it was stored", conflict],
  ["after it was stored", stale],
])("when something newer came %s", (_, answer) => {
  test.each([
    ["en", "Apply", "Not applied: something newer came meanwhile, please look again"],
    ["en", "Dismiss", "Not applied: something newer came meanwhile, please look again"],
    ["de", "Anwenden", "Nicht angewendet: inzwischen kam Neueres, bitte sehen Sie es sich an"],
  ] as const)("the operator is told so (%s, %s), and shown the newer one", async (language, action, told) => {
    const { open, container } = await setUp(answer, language);
    fireEvent.click((await open()).getByText(action));
    expect(await screen.findByText(told)).toBeTruthy();
    expect(container.querySelector("dialog")).toBeNull();
    await waitFor(() => expect(screen.queryByText("50000")).toBeNull());
    expect(screen.getByText("70000")).toBeTruthy();
  });
});

const missing = () => Promise.reject(new Problem(404, { code: "not_found" }));
const ignored = () => Promise.resolve({ status: "ignored", why: "nothing waits any more" });

describe.each([
  ["before it was stored", missing],
  ["after it was stored", ignored],
])("when somebody else had decided %s", (_, answer) => {
  test.each([
    ["en", "Apply", "Not applied: it was settled meanwhile"],
    ["en", "Dismiss", "Not applied: it was settled meanwhile"],
    ["de", "Anwenden", "Nicht angewendet: das wurde inzwischen erledigt"],
  ] as const)("the operator is told so (%s, %s), and it is off the list", async (language, action, told) => {
    const { open, container } = await setUp(answer, language, []);
    fireEvent.click((await open()).getByText(action));
    expect(await screen.findByText(told)).toBeTruthy();
    expect(container.querySelector("dialog")).toBeNull();
    await waitFor(() => expect(screen.queryByText("50000")).toBeNull());
  });
});

test("the next decision is about the newer one", async () => {
  const { open, resolve } = await setUp(vi.fn<DashboardApi["resolve"]>(applied).mockImplementationOnce(conflict));
  fireEvent.click((await open()).getByText("Apply"));
  await screen.findByText("70000");
  fireEvent.click((await open()).getByText("Apply"));
  expect(resolve).toHaveBeenLastCalledWith(expect.objectContaining({ version: "w:1:newer", quota: 70_000 }));
});
