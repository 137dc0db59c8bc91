"""All that is kept, in one hand."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from common.clock import Clock
from common.mongo.client import Database
from pipedrive_sync.store.accounts import Accounts
from pipedrive_sync.store.cursors import Cursors
from pipedrive_sync.store.inbox import Inbox
from pipedrive_sync.store.outbox import UsageOutbox
from pipedrive_sync.store.people import People
from pipedrive_sync.store.waiting import Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    accounts: Accounts
    people: People
    waiting: Waiting
    outbox: UsageOutbox
    inbox: Inbox
    cursors: Cursors

    @classmethod
    def on(cls, db: Database, clock: Clock, *, write_every: timedelta) -> Self:
        return cls(
            accounts=Accounts(db),
            people=People(db, clock),
            waiting=Waiting(db, clock),
            outbox=UsageOutbox(db, clock, every=write_every),
            inbox=Inbox(db, clock),
            cursors=Cursors(db),
        )
