"""The MongoDB client. Motor is named here only: its successor is one file away.

Every write waits for the journal of a majority, every read sees what a majority has. The driver's own
retry is never what makes something happen once: unique keys are. So a URL may switch it off
(`retryWrites=false`) without harm.
"""

from datetime import UTC
from typing import Any

from bson.codec_options import DEFAULT_CODEC_OPTIONS
from motor.motor_asyncio import (
    AsyncIOMotorClient,
    AsyncIOMotorClientSession,
    AsyncIOMotorCollection,
    AsyncIOMotorDatabase,
)
from pymongo import ReadPreference
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

Document = dict[str, Any]
Client = AsyncIOMotorClient[Document]
Database = AsyncIOMotorDatabase[Document]
Collection = AsyncIOMotorCollection[Document]
Session = AsyncIOMotorClientSession

_DEFAULT_DATABASE = "chat"
_WRITE_TIMEOUT_MS = 10_000


def connect(url: str, *, service: str, pool_max: int = 50, timeout_ms: int = 10_000) -> Database:
    """Return the database that the URL names (`chat` if it names none); connects when first used.

    `timeout_ms` bounds every single operation, from choosing a server to the last byte.
    """
    client: Client = AsyncIOMotorClient(
        url,
        appname=service,
        maxPoolSize=pool_max,
        serverSelectionTimeoutMS=5_000,
        timeoutMS=timeout_ms,
    )
    return client.get_default_database(_DEFAULT_DATABASE).with_options(
        codec_options=DEFAULT_CODEC_OPTIONS.with_options(tz_aware=True, tzinfo=UTC),
        read_preference=ReadPreference.PRIMARY,
        read_concern=ReadConcern("majority"),
        write_concern=WriteConcern(w="majority", j=True, wtimeout=_WRITE_TIMEOUT_MS),
    )


async def ping(db: Database) -> None:
    """Raise PyMongoError unless the database answers."""
    await db.command("ping")
