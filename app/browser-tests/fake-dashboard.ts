/** Made-up answers of the routes for operators. */

export const ANSWER = `# A heading

Text with **bold**, \`code\`, a [link](https://example.com) and a list:

- [x] done
- open

| Name | Tokens |
|:--|--:|
| in | 1,204 |

\`\`\`python
def available(rows): return sum(rows)
\`\`\`

> A quote.`;

const FIGURES = {
  total_tokens: 1_204,
  input_tokens: 812,
  cached_tokens: 512,
  output_tokens: 392,
  reasoning_tokens: 64,
  runs: 3,
  estimated_runs: 0,
};
const TOTALS = { ...FIGURES, active_users: 1 };
const AVERAGES = { tokens_per_run: 401.3, tokens_per_active_user: 1_204, runs_per_active_user: 3 };
/** A quiet weekend, and the rest up and down. */
const BY_DAY = Array.from({ length: 30 }, (_, index) => {
  const share = index % 7 > 4 ? 0.05 : 0.4 + ((index * 37) % 60) / 100;
  const input_tokens = Math.round(60_000 * share);
  const output_tokens = Math.round(24_000 * share);
  const date = new Date(Date.UTC(2026, 9, 24 + index)).toISOString();
  const total_tokens = input_tokens + output_tokens;
  const cached_tokens = Math.round(input_tokens * 0.4);
  return { ...TOTALS, total_tokens, input_tokens, cached_tokens, output_tokens, day: date.slice(0, 10) };
});
export const COMPANY = { id: "acme", name: "Acme" };
export const TRANSACTION = {
  id: "x1",
  user_id: "u1",
  user_name: "Ada Lovelace",
  company: COMPANY,
  kind: "usage",
  tokens: -1_204,
  balance_before: 50_000,
  balance_after: 48_796,
  model: "a-model",
  actor: "usage-ledger",
  reason: "run",
  at: "2026-11-22T10:00:00Z",
};
export const USER = {
  id: "u1",
  name: "Ada Lovelace",
  email: "ada@example.com",
  company: COMPANY,
  token_balance: 48_796,
  token_held: 0,
  token_available: 48_796,
  token_grant: 50_000,
  quota: null,
  created_at: "2026-03-01T10:00:00Z",
  last_active_at: "2026-11-22T10:00:00Z",
};
/** Newest first: used up from a grant, into debt, and granted again. */
const LATEST = [
  TRANSACTION,
  ...[50_000, -2_000, 9_000, 21_000, 37_000].map((balance_after, index, all) => {
    const balance_before = all[index + 1] ?? 50_000;
    const kind = balance_after > balance_before ? "grant" : "usage";
    const id = `x${index + 2}`;
    return { ...TRANSACTION, id, kind, tokens: balance_after - balance_before, balance_before, balance_after };
  }),
];
export const DASHBOARD: Record<string, unknown> = {
  "/dashboard/overall/usage": {
    date_from: "2026-10-24T00:00:00Z",
    date_to: "2026-11-23T00:00:00Z",
    tz: "UTC",
    totals: TOTALS,
    averages: AVERAGES,
    previous: { date_from: "2026-09-24T00:00:00Z", date_to: "2026-10-24T00:00:00Z", totals: TOTALS, averages: AVERAGES },
    by_day: BY_DAY,
    by_month: [{ ...TOTALS, month: "2026-11" }],
    by_company: [{ ...TOTALS, company: COMPANY, rest: 0 }],
    by_user: [{ ...FIGURES, user_id: "u1", name: "Ada Lovelace", rest: 0 }],
    by_model: [{ ...FIGURES, model: "a-model" }],
  },
  "/dashboard/overall/resume": {
    summary: "**Acme** used most of the 1,204 tokens. Nothing much changed.",
    figures: {
      date_from: "2026-10-24T00:00:00Z",
      date_to: "2026-11-23T00:00:00Z",
      tz: "UTC",
      totals: TOTALS,
      previous: { date_from: "2026-09-24T00:00:00Z", date_to: "2026-10-24T00:00:00Z", totals: TOTALS },
    },
    model: "a-model",
    generated_at: "2026-11-22T10:00:00Z",
    corrected: [],
  },
  "/dashboard/transactions": {
    items: [TRANSACTION],
    total: 1,
    next_cursor: null,
    aggregate: { tokens: -1_204 },
  },
  "/dashboard/users": { items: [USER], total: 1 },
  "/dashboard/users/u1": { ...USER, transactions: LATEST },
  "/dashboard/flags": {
    items: [
      {
        message_id: "n_1",
        thread_id: "t_1",
        user_id: "u1",
        user_name: "Ada Lovelace",
        reasons: ["wrong"],
        note: "A note",
        question: "A question",
        answer: ANSWER,
        at: "2026-11-22T10:00:00Z",
      },
    ],
    next_cursor: null,
  },
  "/dashboard/operations": {
    checked_at: "2026-11-22T10:00:00Z",
    wrong: ["RabbitMQ's management API does not answer"],
    queues: [
      {
        name: "worker.run.v1",
        ready: 1,
        unacked: null,
        consumers: 1,
        oldest_age_s: 0.4,
        published_per_s: 1.5,
        acked_per_s: 1.5,
        redelivered_per_s: 0,
        retries: { "5s": 1 },
        dead: 1,
      },
    ],
    dead_letters: [
      {
        id: "e1",
        queue: "worker.run.v1",
        type: "run.requested.v1",
        reason: "malformed",
        attempts: 1,
        at: "2026-11-22T10:00:00Z",
        body: { run_id: "r_1" },
      },
    ],
    actions: [
      {
        id: "a1",
        at: "2026-11-22T10:00:00Z",
        actor: "op",
        action: "dead_letters.replay",
        dry_run: false,
        reason: null,
        target: {},
        outcome: "done",
        count: 1,
      },
    ],
  },
  "/dashboard/integration/waiting": {
    items: [
      {
        id: "w1",
        version: "w:1:1",
        why: "several_users",
        person_id: 7,
        user_id: null,
        emails: ["ada@example.com"],
        name: "Ada Lovelace",
        value: "50000",
        actor: "pipedrive",
        reason: "quota",
        at: "2026-11-22T10:00:00Z",
        since: "2026-11-22T10:00:00Z",
      },
    ],
    total: 1,
  },
};
