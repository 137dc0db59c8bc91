"""The indexes of what the gateway writes."""

from common.mongo.indexes import IndexSpec
from gateway.dashboard import flags, operator_actions
from gateway.integration import inbox

INDEXES = (
    *inbox.INDEXES,
    *flags.INDEXES,
    *operator_actions.INDEXES,
    IndexSpec(
        collection="threads",
        keys=(("user_id", 1), ("deleted_at", 1), ("updated_at", -1), ("_id", -1)),
        why="a user's threads, the one used last first, page by page",
    ),
    IndexSpec(
        collection="messages",
        keys=(("thread_id", 1), ("created_at", -1), ("_id", -1)),
        why="the messages of a thread, page by page, and the search in them",
    ),
    IndexSpec(
        collection="messages",
        keys=(("run_id", 1),),
        why="the message that a run answers; there is exactly one",
        unique=True,
    ),
    IndexSpec(
        collection="messages",
        keys=(("user_id", 1), ("client_message_id", 1)),
        why="a message that is sent again is the same message",
        unique=True,
        only={"client_message_id": {"$type": "string"}},
    ),
)
