"""The indexes of the ledger's collections, each with what it serves."""

from common.mongo.indexes import IndexSpec
from common.usage_rollup import INCREMENTS, ROLLUPS, TRANSACTIONS
from usage_ledger.store.journal import ACCOUNTS, OUTBOX
from usage_ledger.store.writer import WRITERS

_MONTH_S = 30 * 24 * 3600

INDEXES = (
    IndexSpec(
        collection=ACCOUNTS,
        keys=(("holds.expires_at", 1),),
        why="the sweeper finds expired holds",
    ),
    IndexSpec(
        collection=ACCOUNTS,
        keys=(("company.id", 1), ("_id", 1)),
        why="the dashboard names companies",
    ),
    IndexSpec(
        collection=ACCOUNTS,
        keys=(("search", 1),),
        why="the dashboard finds users by how a word of theirs begins",
    ),
    *(
        IndexSpec(collection=ACCOUNTS, keys=((field, 1), ("_id", 1)), why="an order of the dashboard's users")
        for field in ("sort_name", "balance", "created_at", "last_active_at")
    ),
    IndexSpec(
        collection=ACCOUNTS,
        keys=(("email_key", 1),),
        why="pipedrive-sync finds the user of a person by e-mail",
    ),
    IndexSpec(
        collection=TRANSACTIONS,
        keys=(("user_id", 1), ("sequence", 1)),
        unique=True,
        why="two rows never follow the same row; the audit reads an account's rows in order",
    ),
    IndexSpec(
        collection=TRANSACTIONS,
        keys=(("at", 1), ("_id", 1)),
        why="the dashboard lists all rows, newest first; the edges of a span are added up from rows",
    ),
    IndexSpec(
        collection=TRANSACTIONS,
        keys=(("kind", 1), ("at", 1), ("_id", 1)),
        why="the dashboard lists the rows of a kind, newest first: adjustments are few among usage",
    ),
    IndexSpec(
        collection=TRANSACTIONS,
        keys=(("user_id", 1), ("at", 1), ("_id", 1)),
        why="the dashboard lists the rows of a user, newest first",
    ),
    IndexSpec(
        collection=TRANSACTIONS,
        keys=(("user_id", 1), ("kind", 1), ("at", 1), ("_id", 1)),
        why="the dashboard lists the rows of a user of one kind, newest first",
    ),
    IndexSpec(
        collection=TRANSACTIONS,
        keys=(("company.id", 1), ("at", 1), ("_id", 1)),
        why="the dashboard lists the rows of a company, newest first",
    ),
    IndexSpec(
        collection=TRANSACTIONS,
        keys=(("company.id", 1), ("kind", 1), ("at", 1), ("_id", 1)),
        why="the dashboard lists the rows of a company of one kind, newest first",
    ),
    IndexSpec(
        collection=ROLLUPS,
        keys=(("kind", 1), ("at", 1)),
        why="the dashboard and the audit read one kind of documents over some time",
    ),
    IndexSpec(
        collection=ROLLUPS,
        keys=(("kind", 1), ("owner", 1), ("at", 1)),
        why="the dashboard counts the rows of a user or a company",
    ),
    IndexSpec(
        collection=INCREMENTS,
        keys=(("at", 1),),
        why="the audit finds the oldest increment that is not folded",
    ),
    IndexSpec(
        collection=OUTBOX,
        keys=(("at", 1),),
        why="the audit finds the oldest event that is not published",
    ),
    IndexSpec(
        collection=WRITERS,
        keys=(("at", 1),),
        expire_after_s=_MONTH_S,
        why="writers that died are forgotten one day",
    ),
)
