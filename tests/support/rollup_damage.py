"""Damage to the rollups of `ledger_of_three_days`, by hand: they are not the sums of rows then."""

from collections.abc import Awaitable, Callable
from typing import Any

from common.mongo.client import Database

Damage = Callable[[Database], Awaitable[None]]


async def day_rollup_moved(db: Database) -> None:
    rollup = await db["usage_rollups"].find_one({"kind": "day"})
    assert rollup is not None
    quarter = next(iter(rollup["quarters"]))
    await db["usage_rollups"].update_one({"_id": rollup["_id"]}, {"$inc": {f"quarters.{quarter}.i": 1}})


async def openings_rollup_moved(db: Database) -> None:
    rollup = await db["usage_rollups"].find_one({"kind": "day", "totals.day.x_opening": {"$gt": 0}})
    assert rollup is not None
    await db["usage_rollups"].update_one({"_id": rollup["_id"]}, {"$inc": {"totals.day.t_opening": 1}})


async def users_rollup_lost(db: Database) -> None:
    await db["usage_rollups"].delete_one({"kind": "day_users"})


async def quarter_rollup_doubled(db: Database) -> None:
    rollup = await db["usage_rollups"].find_one({"kind": "quarter_users"})
    assert rollup is not None
    await db["usage_rollups"].insert_one(rollup | {"_id": rollup["_id"] + "0"})


async def _rename(db: Database, group: str, kind: str, old: str, new: str) -> None:
    """Move a name's counters to another name, in every document of a kind: all sums stay the same."""
    async for rollup in db["usage_rollups"].find({"kind": kind, f"{group}.{old}": {"$exists": True}}):
        moved = rollup[group].pop(old)
        rollup[group][new] = moved
        await db["usage_rollups"].replace_one({"_id": rollup["_id"]}, rollup)


async def _rename_key(db: Database, kind: str, old: str, new: str) -> None:
    """Give a user's counters to another one, in every document of a kind: all sums stay the same."""
    await db["usage_rollups"].update_many({"kind": kind, "keys": old}, {"$set": {"keys.$": new}})


async def company_of_a_day_changed(db: Database) -> None:
    await _rename_key(db, "day_users", "u1~acme", "u1~other")


async def user_of_quarters_changed(db: Database) -> None:
    await _rename_key(db, "quarter_users", "u1~acme", "u2~acme")


async def column_of_a_day_cut(db: Database) -> None:
    await db["usage_rollups"].update_one({"kind": "day_users"}, {"$pop": {"o": 1}})


async def key_of_a_day_too_many(db: Database) -> None:
    await db["usage_rollups"].update_one({"kind": "day_users"}, {"$push": {"keys": "u9"}})


async def model_of_days_changed(db: Database) -> None:
    await _rename(db, "models", "day", "m", "another")


async def model_of_quarters_changed(db: Database) -> None:
    await _rename(db, "models", "quarter_users", "m", "another")


async def quarter_of_a_day_changed(db: Database) -> None:
    rollup = await db["usage_rollups"].find_one({"kind": "day"})
    assert rollup is not None
    quarter = next(iter(rollup["quarters"]))
    other = str((int(quarter) + 1) % 96)
    update = {"$rename": {f"quarters.{quarter}": f"quarters.{other}"}}
    await db["usage_rollups"].update_one({"_id": rollup["_id"]}, update)


async def tokens_moved_between_kinds_of_tokens(db: Database) -> None:
    rollup = await db["usage_rollups"].find_one({"kind": "day_users"})
    assert rollup is not None
    update = {"$inc": {"i.0": 5, "o.0": -5}}
    await db["usage_rollups"].update_one({"_id": rollup["_id"]}, update)


async def active_quarters_changed(db: Database) -> None:
    await db["usage_rollups"].update_one({"kind": "day_users"}, {"$inc": {"a0.0": 1}})


async def _change_a_month(db: Database, kind: str, **fields: Any) -> None:
    rollup = await db["usage_rollups"].find_one({"kind": kind})
    assert rollup is not None
    await db["usage_rollups"].update_one({"_id": rollup["_id"]}, {"$set": fields})


async def month_of_a_user_moved(db: Database) -> None:
    rollup = await db["usage_rollups"].find_one({"kind": "user_month"})
    assert rollup is not None
    day = next(iter(rollup["days"]))
    await db["usage_rollups"].update_one({"_id": rollup["_id"]}, {"$inc": {f"days.{day}.x_grant": 1}})


async def month_of_another_user(db: Database) -> None:
    await _change_a_month(db, "user_month", owner="u77")


async def month_of_another_company(db: Database) -> None:
    await _change_a_month(db, "company_month", owner="other")


async def months_of_companies_lost(db: Database) -> None:
    await db["usage_rollups"].delete_many({"kind": "company_month"})


async def rollups_lost(db: Database) -> None:
    await db["usage_rollups"].delete_many({})


async def month_without_an_owner(db: Database) -> None:
    await db["usage_rollups"].update_one({"kind": "user_month"}, {"$unset": {"owner": 1}})


async def quarters_of_a_day_in_a_list(db: Database) -> None:
    await db["usage_rollups"].update_one({"kind": "day"}, {"$set": {"quarters": [1]}})


async def totals_of_a_day_as_a_number(db: Database) -> None:
    await db["usage_rollups"].update_one({"kind": "day"}, {"$set": {"totals.day": 5}})


async def figures_of_a_quarter_as_text(db: Database) -> None:
    await db["usage_rollups"].update_one({"kind": "quarter_users"}, {"$set": {"i.0": "many"}})


async def keys_of_a_day_gone(db: Database) -> None:
    await db["usage_rollups"].update_one({"kind": "day_users"}, {"$set": {"keys": None}})


OF_ROLLUPS: tuple[Damage, ...] = (
    openings_rollup_moved,
    users_rollup_lost,
    quarter_rollup_doubled,
    company_of_a_day_changed,
    user_of_quarters_changed,
    column_of_a_day_cut,
    key_of_a_day_too_many,
    model_of_days_changed,
    model_of_quarters_changed,
    quarter_of_a_day_changed,
    tokens_moved_between_kinds_of_tokens,
    active_quarters_changed,
    month_of_a_user_moved,
    month_of_another_user,
    month_of_another_company,
    months_of_companies_lost,
    rollups_lost,
    month_without_an_owner,
    quarters_of_a_day_in_a_list,
    totals_of_a_day_as_a_number,
    figures_of_a_quarter_as_text,
    keys_of_a_day_gone,
)
