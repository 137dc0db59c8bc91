"""Every metric of the product, with its meaning. Labels have few, known values: never an id."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

CONSUMED = Counter("chat_messages_consumed", "Deliveries by queue and outcome", ["queue", "outcome"])
CONSUMERS_BRAKED = Gauge(
    "chat_consumers_braked", "1 while most messages of a queue fail, and one at a time is tried", ["queue"]
)
OUTBOX_OLDEST_S = Gauge("chat_outbox_oldest_seconds", "Age of the oldest event not yet published")

HTTP_SECONDS = Histogram(
    "chat_http_seconds",
    "Time to the first byte of the answer",
    ["route", "method", "status"],
    buckets=_SECONDS,
)
STREAMS_OPEN = Gauge("chat_streams_open", "Event streams open in this process")

RUNS_ACTIVE = Gauge("chat_runs_active", "Runs that this worker drives now")
RUNS_FINISHED = Counter(
    "chat_runs_finished", "Runs that ended, by status and source of their usage", ["status", "usage"]
)
FIRST_CHUNK_SECONDS = Histogram(
    "chat_first_chunk_seconds",
    "From taking a run to its first chunk, the provider included",
    buckets=_SECONDS,
)
TOKENS_USED = Counter("chat_tokens_used", "Tokens that runs used, estimates included", ["direction"])

LEDGER_HOLDS = Counter("chat_ledger_holds", "Requests for a hold, by result", ["result"])
LEDGER_SETTLED = Counter(
    "chat_ledger_settled", "Finished runs that came to the ledger, by result", ["result"]
)
LEDGER_SWEPT = Counter("chat_ledger_swept", "Expired holds, by what became of them", ["action"])
LEDGER_VIOLATIONS = Gauge("chat_ledger_violations", "What the last audit found, by code", ["code"])
LEDGER_AUDITED_AT = Gauge("chat_ledger_audited_timestamp_seconds", "When the last audit ended")

CRM_NOTIFICATIONS = Counter(
    "chat_crm_notifications",
    "Notifications of /int, by channel and what became of them",
    ["channel", "result"],
)
CRM_NOTIFICATION_LAG_S = Histogram(
    "chat_crm_notification_lag_seconds",
    "From a change in the CRM to what was decided about it",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 86_400),
)
CRM_CALLS = Counter("chat_crm_calls", "Calls of the CRM's API, by answer", ["answer"])
CRM_TOKENS_SPENT = Counter(
    "chat_crm_tokens_spent", "Spent of the CRM's daily budget, by purpose", ["purpose"]
)
CRM_PAUSED = Gauge("chat_crm_paused", "1 while the CRM's API must not be asked")
CRM_REPAIRS = Counter("chat_crm_repairs", "Quotas that reconciliation put right: each is a missed event")
CRM_WAITING = Gauge("chat_crm_waiting", "Notifications that wait for an operator")
CRM_WRITES = Counter("chat_crm_writes", "Writes of usage to the CRM, by urgency", ["urgency"])
CRM_OUTBOX_OLDEST_S = Gauge("chat_crm_outbox_oldest_seconds", "Age of the oldest write that is due")
