"""Damage to a ledger, by hand in the database: one broken promise each, and what else follows from it.

It is done to `ledger_of_three_days`: users u1 and u2, runs r0..r5 in turn, an adjustment of u1, a quota of
u2, and an open hold of u1.
"""

from datetime import timedelta
from typing import Any

from common.mongo.client import Database
from support.clock import FakeClock
from support.rollup_damage import OF_ROLLUPS, Damage, day_rollup_moved


async def balance_moved(db: Database) -> None:
    await db["accounts"].update_one({"_id": "u1"}, {"$inc": {"balance": 1, "available": 1}})


async def held_moved(db: Database) -> None:
    await db["accounts"].update_one({"_id": "u1"}, {"$inc": {"held": 5, "available": -5}})


async def available_moved(db: Database) -> None:
    await db["accounts"].update_one({"_id": "u1"}, {"$inc": {"available": 1}})


async def row_lost(db: Database) -> None:
    await db["transactions"].delete_one({"_id": "usage:r2"})


async def row_changed(db: Database) -> None:
    await db["transactions"].update_one({"_id": "usage:r2"}, {"$inc": {"tokens": 7}})


async def balance_after_changed(db: Database) -> None:
    await db["transactions"].update_one({"_id": "usage:r2"}, {"$inc": {"balance_after": 7}})


async def _append(db: Database, row_id: str, **fields: Any) -> None:
    """One more row of u1, right after the last one, which its account does not know."""
    row = await db["transactions"].find_one({"_id": "usage:r4"})
    account = await db["accounts"].find_one({"_id": "u1"})
    assert row is not None
    assert account is not None
    balance = {"balance_before": account["balance"], "balance_after": account["balance"] + row["tokens"]}
    more = {"_id": row_id, "sequence": account["sequence"] + 1}
    await db["transactions"].insert_one(row | balance | more | fields)


async def row_beyond(db: Database) -> None:
    await _append(db, "grant:u1:6", kind="grant")


async def overage_hidden(db: Database) -> None:
    await db["transactions"].update_one({"_id": "usage:r2"}, {"$set": {"hold_tokens": 10}})


async def balances_shifted(db: Database) -> None:
    await db["transactions"].update_one(
        {"_id": "usage:r2"}, {"$inc": {"balance_before": 7, "balance_after": 7}}
    )


async def hold_beyond_what_is_available(db: Database) -> None:
    update = {"$inc": {"held": 5_000, "available": -5_000, "holds.0.tokens": 5_000}}
    await db["accounts"].update_one({"_id": "u1"}, update)


async def available_used_up(db: Database) -> None:
    await db["accounts"].update_one({"_id": "u1"}, {"$set": {"available": -1}})


async def hold_of_nothing(db: Database) -> None:
    update = {"$inc": {"held": -30, "available": 30}, "$set": {"holds.0.tokens": 0}}
    await db["accounts"].update_one({"_id": "u1"}, update)


async def debt_unexplained(db: Database) -> None:
    """An account whose first row is below zero, all of it adding up."""
    row = await db["transactions"].find_one({"_id": "open:u2"})
    account = await db["accounts"].find_one({"_id": "u2"})
    assert row is not None
    assert account is not None
    debt = {"tokens": -5, "balance_after": -5}
    day = await db["usage_rollups"].find_one({"kind": "day", "totals.day.x_opening": {"$gt": 0}})
    assert day is not None
    await db["transactions"].insert_one(row | debt | {"_id": "open:u9", "user_id": "u9"})
    amounts = {"balance": -5, "available": -5, "held": 0, "holds": [], "sequence": 1}
    await db["accounts"].insert_one(account | amounts | {"_id": "u9"})
    (quarter,) = (name for name, sums in day["quarters"].items() if "x_opening" in sums)
    more = {"x_opening": 1, "t_opening": -5}
    places = (f"quarters.{quarter}", "totals.day")
    update = {"$inc": {f"{place}.{name}": value for place in places for name, value in more.items()}}
    await db["usage_rollups"].update_one({"_id": day["_id"]}, update)
    month = await db["usage_rollups"].find_one({"kind": "user_month", "owner": "u2"})
    assert month is not None
    months = {"_id": f"{month['_id']}-u9", "owner": "u9", "company": row["company"] and row["company"]["id"]}
    await db["usage_rollups"].insert_one(month | months | {"days": {str(row["at"].day): more}})


async def run_not_settled(db: Database) -> None:
    run = await db["runs"].find_one({"_id": "r0"})
    assert run is not None
    nothing = dict.fromkeys(run["usage"], 0)
    await db["runs"].insert_one(run | {"_id": "r99", "state": "failed", "usage": nothing})


async def usage_lost(db: Database) -> None:
    run = await db["runs"].find_one({"_id": "r0"})
    assert run is not None
    await db["runs"].insert_one(run | {"_id": "r99"})


async def run_used_otherwise(db: Database) -> None:
    await db["runs"].update_one({"_id": "r4"}, {"$inc": {"usage.output_tokens": 3}})


async def _insert_active(db: Database, *run_ids: str, **fields: Any) -> None:
    run = await db["runs"].find_one({"_id": "r0"})
    assert run is not None
    active: dict[str, Any] = {"state": "active", "usage": None, "finished_at": None, "response_id": "resp_1"}
    # Long from now, by any clock.
    at = FakeClock().now() + timedelta(days=9)
    times = {"started_at": at, "lease_until": at}
    await db["runs"].insert_many([run | active | times | fields | {"_id": run_id} for run_id in run_ids])


async def two_active_runs_in_a_thread(db: Database) -> None:
    await _insert_active(db, "r98", "r99")


async def abandoned_run_not_booked(db: Database) -> None:
    long_ago = FakeClock().now()
    await _insert_active(db, "r99", started_at=long_ago, lease_until=long_ago)


async def settled_while_going_on(db: Database) -> None:
    await db["runs"].update_one(
        {"_id": "r4"}, {"$set": {"state": "active", "finished_at": None, **_going_on()}}
    )


def _going_on() -> dict[str, Any]:
    at = FakeClock().now() + timedelta(days=9)
    return {"started_at": at, "lease_until": at, "response_id": None}


async def settled_by_an_older_attempt(db: Database) -> None:
    await db["runs"].update_one({"_id": "r4"}, {"$inc": {"fence": 1}})


async def run_of_another(db: Database) -> None:
    await db["runs"].update_one({"_id": "r4"}, {"$set": {"user_id": "u2"}})


async def correction_of_nothing(db: Database) -> None:
    await _append(db, "correction:r77", kind="correction", run_id="r77")


async def corrected_though_no_estimate(db: Database) -> None:
    await _append(db, "correction:r4", kind="correction")


async def request_changed(db: Database) -> None:
    await db["transactions"].update_one({"_id": "adjust:q1"}, {"$inc": {"requested.token_balance": 5}})


async def row_of_another_cause(db: Database) -> None:
    row = await db["transactions"].find_one({"_id": "open:u2"})
    assert row is not None
    await db["transactions"].delete_one({"_id": row["_id"]})
    await db["transactions"].insert_one(row | {"_id": "open:u2:again"})


async def quota_booked_twice(db: Database) -> None:
    """The same setting once more, under an id of its own: nothing but its version tells."""
    row = await db["transactions"].find_one({"_id": "quota:u2:e1"})
    assert row is not None
    again = {"sequence": row["sequence"] + 1, "balance_before": row["balance_after"], "tokens": 0}
    again |= {"_id": "quota:u2:e0", "source_event": "e0", "quota_before": row["quota_after"]}
    await db["transactions"].insert_one(row | again)
    await db["accounts"].update_one({"_id": "u2"}, {"$inc": {"sequence": 1}})


async def run_unknown(db: Database) -> None:
    await db["runs"].delete_one({"_id": "r4"})


async def account_lost(db: Database) -> None:
    await db["accounts"].delete_one({"_id": "u2"})


async def actor_missing(db: Database) -> None:
    await db["transactions"].update_one({"_id": "usage:r2"}, {"$set": {"actor": ""}})


async def hold_not_swept(db: Database) -> None:
    update = {"$set": {"holds.0.expires_at": FakeClock().now()}}
    await db["accounts"].update_one({"_id": "u1"}, update)


async def hold_extended_for_ever(db: Database) -> None:
    update = {"$set": {"holds.0.placed_at": FakeClock().now()}}
    await db["accounts"].update_one({"_id": "u1"}, update)


async def settled_run_holds(db: Database) -> None:
    await db["accounts"].update_one({"_id": "u1"}, {"$set": {"holds.0.run_id": "r2"}})


async def event_stuck(db: Database) -> None:
    await db["ledger_outbox"].insert_one({"_id": "e_1", "at": FakeClock().now()})


async def increment_stuck(db: Database) -> None:
    await db["usage_increments"].insert_one({"_id": "e_1", "at": FakeClock().now(), "parts": []})


async def row_without_tokens(db: Database) -> None:
    await db["transactions"].update_one({"_id": "usage:r2"}, {"$unset": {"tokens": 1}})


async def row_without_usage_and_a_balance_moved(db: Database) -> None:
    await db["transactions"].update_one({"_id": "usage:r4"}, {"$unset": {"usage": 1}})
    await db["accounts"].update_one({"_id": "u2"}, {"$inc": {"balance": 1, "available": 1}})


async def account_without_holds(db: Database) -> None:
    await db["accounts"].update_one({"_id": "u1"}, {"$unset": {"holds": 1}})


async def active_run_without_a_fence(db: Database) -> None:
    await _insert_active(db, "r99")
    await db["runs"].update_one({"_id": "r99"}, {"$unset": {"fence": 1}})


async def active_run_of_an_odd_fence(db: Database) -> None:
    await _insert_active(db, "r99", fence=None)


async def row_of_usage_without_a_run(db: Database) -> None:
    await db["runs"].delete_one({"_id": "r4"})
    await db["transactions"].update_one({"_id": "usage:r2"}, {"$set": {"run_id": None}})


async def increment_without_parts(db: Database) -> None:
    await db["usage_increments"].insert_one({"_id": "e_1", "at": FakeClock().now()})


THE_TWELVE: dict[str, Damage] = {
    "I1": balance_moved,
    "I2": balances_shifted,
    "I3": hold_beyond_what_is_available,
    "I4": overage_hidden,
    "I5": run_not_settled,
    "I6": run_used_otherwise,
    "I7": actor_missing,
    "I8": hold_not_swept,
    "I9": request_changed,
    "I10": event_stuck,
    "I11": two_active_runs_in_a_thread,
    "I12": day_rollup_moved,
}

MORE: list[tuple[Damage, set[str]]] = [
    (held_moved, {"I1"}),
    (available_moved, {"I3"}),
    (available_used_up, {"I3"}),
    (hold_of_nothing, {"I3"}),
    (debt_unexplained, {"I3"}),
    (row_lost, {"I1", "I2", "I5", "I6", "I12"}),
    (row_changed, {"I1", "I2", "I4"}),
    (balance_after_changed, {"I2"}),
    (row_beyond, {"I1", "I2", "I12"}),
    (usage_lost, {"I5", "I6"}),
    (abandoned_run_not_booked, {"I6"}),
    (settled_while_going_on, {"I5"}),
    (run_unknown, {"I7"}),
    (run_of_another, {"I7"}),
    (account_lost, {"I7"}),
    (correction_of_nothing, {"I1", "I2", "I7", "I12"}),
    (corrected_though_no_estimate, {"I1", "I2", "I6", "I9", "I12"}),
    (hold_extended_for_ever, {"I8"}),
    (settled_run_holds, {"I8"}),
    (row_of_another_cause, {"I9"}),
    (quota_booked_twice, {"I9", "I12"}),
    (increment_stuck, {"I10"}),
    (settled_by_an_older_attempt, {"I11"}),
    (row_without_tokens, {"I1", "I2"}),
    (row_without_usage_and_a_balance_moved, {"I1", "I2", "I6", "I12"}),
    (account_without_holds, {"I1"}),
    (active_run_without_a_fence, {"I6"}),
    (active_run_of_an_odd_fence, {"I6"}),
    (row_of_usage_without_a_run, {"I2", "I7"}),
    (increment_without_parts, {"I10", "I12"}),
    *((damage, {"I12"}) for damage in OF_ROLLUPS),
]
