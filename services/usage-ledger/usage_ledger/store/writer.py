"""The database session in which this process writes its transactions, and how a dead one is got rid of.

A process that is killed inside a transaction leaves it open on the server, which holds on to the accounts
in it for a minute (`transactionLifetimeLimitSeconds`): their holds and settlements would wait that long.
So a writer's session is registered, and whoever starts, or is kept from writing again and again, ends the
open transactions of all others. That does no harm to one that lives: it reads, decides and writes again.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bson import Binary
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from common.clock import Clock
from common.mongo.client import Database, Session

WRITERS = "ledger_writers"

_READ_CONCERN = ReadConcern("snapshot")
_WRITE_CONCERN = WriteConcern(w="majority", j=True)


class Writer:
    """One transaction at a time: inside a process nothing competes for the same accounts."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._turn = asyncio.Lock()
        self._session: Session | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Session]:
        """Commit at the end of the block, or undo everything when it raises."""
        async with self._turn:
            session = await self._own_session()
            async with session.start_transaction(_READ_CONCERN, _WRITE_CONCERN):
                yield session

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


def _id_of(session: Session) -> Binary:
    return session.session_id["id"]
