/** The one way to the gateway: typed by its OpenAPI description, errors as `Problem`. */

import createClient from "openapi-fetch";
import { problemOf } from "./problem";
import type { paths } from "./schema";

export type Client = ReturnType<typeof createClient<paths>>;

export function makeClient(fetch: typeof globalThis.fetch): Client {
  return createClient<paths>({ baseUrl: location.origin, fetch, credentials: "same-origin" });
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Returns what was asked for, or throws a Problem; a network that is gone throws as `fetch` does. */
export async function unwrap<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) throw problemOf(response, error);
  return data as T;
}
