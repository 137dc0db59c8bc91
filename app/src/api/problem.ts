/** Errors of the API: `application/problem+json` with a stable `code` (RFC 9457). */

type Members = Readonly<Record<string, unknown>>;

export class Problem extends Error {
  override readonly name = "Problem";
  readonly status: number;
  readonly code: string;
  readonly retryAfterS: number | undefined;
  /** What else the body says, such as `login_url` or `next_grant_at`. */
  readonly members: Members;

  constructor(status: number, members: Members = {}, retryAfterS?: number) {
    super(textOf(members, "detail") ?? textOf(members, "title") ?? `The server answered ${status}`);
    this.status = status;
    this.code = textOf(members, "code") ?? "unknown";
    this.retryAfterS = retryAfterS;
    this.members = members;
  }

  /** The server could not help right now; nothing says that it never will. */
  get isPassing(): boolean {
    return this.status >= 500;
  }

  text(member: string): string | undefined {
    return textOf(this.members, member);
  }
}

/** Makes a Problem of an answer that has been read already, or never had a body that is JSON. */
export function problemOf(response: Response, body: unknown): Problem {
  const retryAfterS = Number(response.headers.get("Retry-After")) || undefined;
  const members = typeof body === "object" && body !== null ? (body as Members) : {};
  return new Problem(response.status, members, retryAfterS);
}

export async function readProblem(response: Response): Promise<Problem> {
  return problemOf(response, await response.json().catch(() => undefined));
}

function textOf(members: Members, name: string): string | undefined {
  const value = members[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}
