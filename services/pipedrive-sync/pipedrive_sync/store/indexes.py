"""The indexes of what pipedrive-sync keeps."""

from common.integration_inbox import DECISIONS, KEPT_DAYS, WAITING
from common.mongo.indexes import IndexSpec
from pipedrive_sync.store.outbox import OUTBOX
from pipedrive_sync.store.people import PEOPLE

INDEXES = (
    IndexSpec(
        collection=PEOPLE,
        keys=(("user_id", 1),),
        why="a user belongs to one person at most; the people of users whose balance changed",
        unique=True,
        # Strings only. A comparison, since a query for one user then is known to be within it.
        only={"user_id": {"$gt": ""}},
    ),
    IndexSpec(
        collection=PEOPLE,
        keys=(("confirm_at", 1),),
        why="people whose reading is due",
    ),
    IndexSpec(
        collection=WAITING,
        keys=(("retry_at", 1),),
        why="what waits and may settle itself",
    ),
    IndexSpec(collection=WAITING, keys=(("emails", 1),), why="what waits for a user who has come"),
    IndexSpec(
        collection=WAITING, keys=(("updated_at", -1), ("_id", -1)), why="the operator's list, newest first"
    ),
    IndexSpec(
        collection=OUTBOX,
        keys=(("due_at", 1),),
        why="the writes that are due",
    ),
    IndexSpec(
        collection=DECISIONS,
        keys=(("at", 1),),
        why="a decision is kept as long as its row",
        expire_after_s=(KEPT_DAYS + 1) * 86_400,
    ),
)
