// @vitest-environment jsdom
import { beforeEach, expect, test, vi } from "vitest";
import { makeReloads } from "./reloads";

beforeEach(() => sessionStorage.clear());

function setUp(answer: () => Promise<Response>) {
  const reload = vi.fn();
  const ask = vi.fn(answer);
  return { reload, ask, reloads: makeReloads({ fetch: ask, storage: sessionStorage, reload, now: () => 1e12 }) };
}

const served = () => Promise.resolve(new Response("<!doctype html>"));

test("a part that is missing after a deployment brings the new page, once", async () => {
  const { reload, reloads } = setUp(served);
  await reloads.reloadUnasked();
  await reloads.reloadUnasked();
  expect(reload).toHaveBeenCalledOnce();
});

test.each([
  ["is not reached", () => Promise.reject(new TypeError("network"))],
  ["is not ready", () => Promise.resolve(new Response("", { status: 502 }))],
])("while the server %s, the open page stays", async (_, answer) => {
  const { reload, reloads } = setUp(answer);
  await reloads.reloadUnasked();
  expect(reload).not.toHaveBeenCalled();
});

test("offline, nothing is asked and the open page stays", async () => {
  vi.spyOn(navigator, "onLine", "get").mockReturnValue(false);
  const { reload, ask, reloads } = setUp(served);
  await reloads.reloadUnasked();
  expect(ask).not.toHaveBeenCalled();
  expect(reload).not.toHaveBeenCalled();
});

test("who asks for it gets the page at once", async () => {
  const { reload, reloads } = setUp(served);
  await reloads.reloadUnasked();
  await reloads.reload();
  expect(reload).toHaveBeenCalledTimes(2);
});
