"""The accounts of users, as the ledger keeps them: search, orders, pages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from common.account_search import searched
from common.mongo.client import Database, Document
from gateway.dashboard.cursors import Scalar

UserOrder = Literal[
    "name",
    "-name",
    "token_balance",
    "-token_balance",
    "created_at",
    "-created_at",
    "last_active_at",
    "-last_active_at",
]

_SHOWN = (
    *("name", "email", "company", "balance", "held", "available", "token_grant", "quota"),
    *("created_at", "last_active_at"),
)


@dataclass(frozen=True, slots=True)
class _Order:
    """A field with an index, its type, and its least value: naming it makes the index be read in order."""

    field: str
    type: type[Scalar]
    least: Scalar


_ORDERS: Mapping[str, _Order] = {
    "name": _Order("sort_name", str, ""),
    "token_balance": _Order("balance", int, -(2**62)),
    "created_at": _Order("created_at", datetime, datetime(1970, 1, 1, tzinfo=UTC)),
    "last_active_at": _Order("last_active_at", datetime, datetime(1970, 1, 1, tzinfo=UTC)),
}


def order_type(order: UserOrder) -> type[Scalar]:
    """Return the type of the values by which users are ordered."""
    return _ORDERS[order.removeprefix("-")].type


def order_value(order: UserOrder, account: Mapping[str, Any]) -> Scalar:
    return account[_ORDERS[order.removeprefix("-")].field]


class Users:
    """Reads `accounts`, which the ledger writes."""

    def __init__(self, db: Database) -> None:
        self._accounts = db["accounts"]

    async def find(self, user_id: str) -> Document | None:
        return await self._accounts.find_one({"_id": user_id}, dict.fromkeys(_SHOWN, 1))

    async def page(
        self, text: str, order: UserOrder, *, limit: int, start: int, after: tuple[Any, str] | None
    ) -> list[Document]:
        """Return up to `limit` accounts behind a place, or from number `start` on.

        With a text, those that have words beginning with each of its words, in name, id, e-mail or company.
        """
        by = _ORDERS[order.removeprefix("-")]
        direction = -1 if order.startswith("-") else 1
        query = _search(text)
        if after is None:
            found = self._list(query | {by.field: {"$gte": by.least}}, by.field, direction)
            return await found.skip(start).limit(limit).to_list(limit)
        value, user_id = after
        beyond = "$gt" if direction == 1 else "$lt"
        # Two plain questions instead of one with an `$or`: an index answers both to the end.
        same = self._list(query | {by.field: value, "_id": {beyond: user_id}}, by.field, direction)
        page = await same.limit(limit).to_list(limit)
        if len(page) < limit:
            rest = self._list(query | {by.field: {beyond: value}}, by.field, direction)
            page += await rest.limit(limit - len(page)).to_list(limit - len(page))
        return page

    async def count(self, text: str) -> int:
        """Count what a search finds; without a text all accounts, of which the database knows the number."""
        if query := _search(text):
            return await self._accounts.count_documents(query)
        return await self._accounts.estimated_document_count()

    def _list(self, query: Document, field: str, direction: int) -> Any:
        shown = dict.fromkeys((*_SHOWN, "sort_name"), 1)
        return self._accounts.find(query, shown).sort([(field, direction), ("_id", direction)])


def _search(text: str) -> Document:
    """Write a search by the beginnings of words. Escaped, so that no input can be a pattern."""
    words = [re.compile("^" + re.escape(word)) for word in searched(text)]
    # As `$and` also of one: secantusd finds nothing by such an expression alone on an index of lists.
    return {"$and": [{"search": word} for word in words]} if words else {}
