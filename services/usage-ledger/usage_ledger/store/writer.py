"""The database session in which this process writes its transactions, and how a dead one is got rid of.

A process that is killed inside a transaction leaves it open on the server, which holds on to the accounts
in it for a minute (`transactionLifetimeLimitSeconds`): their holds and settlements would wait that long.
So a writer's session is registered, and whoever starts, or is kept from writing again and again, ends the
open transactions of all others. That does no harm to one that lives: it reads, decides and writes again.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import cast

from bson import Binary
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from common.clock import Clock
from common.log import get_logger
from common.mongo.client import Database, Session

log = get_logger()

WRITERS = "ledger_writers"

_WRITE_CONFLICT = 112
_KEPT_OUT_MAX = 8
_COMMIT_ATTEMPTS_MAX = 3
_READ_CONCERN = ReadConcern("snapshot")
_WRITE_CONCERN = WriteConcern(w="majority", j=True)


class Writer:
    """One transaction at a time: inside a process nothing competes for the same accounts."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._turn = asyncio.Lock()
        self._session: Session | None = None
        self._kept_out = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Session]:
        """Commit at the end of the block, or undo everything when it raises."""
        async with self._turn:
            session = await self._own_session()
            try:
                async with session.start_transaction(_READ_CONCERN, _WRITE_CONCERN):
                    yield session
                    await _commit(session)
            except PyMongoError as error:
                await self._kept_out_by(error)
                raise
            self._kept_out = 0

    async def _kept_out_by(self, error: PyMongoError) -> None:
        """After a second or so of conflicts in a row, whoever is in the way has stopped moving."""
        self._kept_out = self._kept_out + 1 if getattr(error, "code", None) == _WRITE_CONFLICT else 0
        if self._kept_out == _KEPT_OUT_MAX:
            self._kept_out = 0
            log.warning("ends_other_writers")
            await self.end_others()

    async def end_others(self) -> None:
        """End the transactions that other writers have open, dead or alive."""
        own = _id_of(self._session) if self._session else None
        ids = [document["_id"] async for document in self._db[WRITERS].find({"_id": {"$ne": own}})]
        if ids:
            await self._db.command("killSessions", [{"id": lsid} for lsid in ids])

    async def close(self) -> None:
        if self._session is not None:
            await self._db[WRITERS].delete_one({"_id": _id_of(self._session)})
            await self._session.end_session()
            self._session = None

    async def _own_session(self) -> Session:
        if self._session is None:
            session = await self._db.client.start_session()
            # Registered before its first transaction, or nobody could end that one.
            await self._db[WRITERS].insert_one({"_id": _id_of(session), "at": self._clock.now()})
            self._session = session
        return self._session


async def _commit(session: Session) -> None:
    """Commit, and ask again while the answer is lost; committing twice is committing once."""
    for attempt in range(_COMMIT_ATTEMPTS_MAX):
        try:
            await session.commit_transaction()
        except PyMongoError as error:
            is_last = attempt == _COMMIT_ATTEMPTS_MAX - 1
            if is_last or not error.has_error_label("UnknownTransactionCommitResult"):
                raise
        else:
            return


def _id_of(session: Session) -> Binary:
    return cast(Mapping[str, Binary], session.session_id)["id"]
