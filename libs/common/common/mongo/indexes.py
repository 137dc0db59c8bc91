"""Indexes are declared beside the code that needs them, each with the query that it serves."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pymongo
from pymongo import IndexModel

from common.mongo.client import Database

_BUILD_MAX_S = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSpec:
    """One index. `why` names the query or the promise that it serves; `only` makes it partial."""

    collection: str
    keys: tuple[tuple[str, int], ...]
    why: str
    unique: bool = False
    only: dict[str, Any] = field(default_factory=dict[str, Any])
    expire_after_s: int | None = None

    @property
    def name(self) -> str:
        return "_".join(f"{key}_{direction}" for key, direction in self.keys) + (
            "_partial" if self.only else ""
        )

    def model(self) -> IndexModel:
        options: dict[str, Any] = {"name": self.name}
        if self.unique:
            options["unique"] = True
        if self.only:
            options["partialFilterExpression"] = self.only
        if self.expire_after_s is not None:
            options["expireAfterSeconds"] = self.expire_after_s
        return IndexModel(list(self.keys), **options)


async def ensure_indexes(db: Database, specs: Sequence[IndexSpec]) -> None:
    """Create what is missing. Creating an index that exists already does nothing."""
    # A new one on a collection that has grown takes far longer than any other operation may.
    with pymongo.timeout(_BUILD_MAX_S):
        for collection in dict.fromkeys(spec.collection for spec in specs):
            models = [spec.model() for spec in specs if spec.collection == collection]
            await db[collection].create_indexes(models)
