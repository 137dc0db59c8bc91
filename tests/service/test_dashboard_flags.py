"""The inbox of what users flagged."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from gateway.flags.flag_message import Flags
from gateway.threads.records import UserMessage
from support.conversations import Conversations
from support.dashboard import DashboardOnTrial, dashboard_on
from support.ledger import user

PATH = "/dashboard/flags"


@pytest.fixture
async def on_trial(db_url: str) -> AsyncGenerator[DashboardOnTrial]:
    async with dashboard_on(db_url) as on_trial:
        await on_trial.trial.ledger.accounts.open(user("u1"))
        yield on_trial


async def flagged(on_trial: DashboardOnTrial, number: int, **flag: Any) -> UserMessage:
    """Have an exchange flagged on its answer."""
    services, clock = on_trial.services, on_trial.trial.clock
    clock.pass_s(60)  # type: ignore[attr-defined]
    conversations = Conversations(services.db, clock.now())
    message = await conversations.ask(await conversations.thread("u1"), f"Question {number}")
    answer_id = await conversations.answer(message, f"Answer {number}")
    found = await Flags(services.threads, clock).flag(
        "u1", answer_id, reasons=flag.get("reasons", []), note=flag.get("note")
    )
    assert found is not None
    return message


async def test_a_flag_is_shown_with_its_exchange(on_trial: DashboardOnTrial):
    message = await flagged(on_trial, 1, reasons=["wrong"], note="It is not so.")
    (shown,) = (await on_trial.get(PATH))["items"]
    assert (shown["question"], shown["answer"]) == ("Question 1", "Answer 1")
    assert (shown["reasons"], shown["note"], shown["user_name"]) == (["wrong"], "It is not so.", "Ada")
    assert (shown["message_id"], shown["run_id"]) == ("n" + message.run_id[1:], message.run_id)


async def test_flags_come_newest_first_page_by_page(on_trial: DashboardOnTrial):
    for number in range(7):
        await flagged(on_trial, number)
    first = await on_trial.get(PATH, limit=4)
    second = await on_trial.get(PATH, limit=4, cursor=first["next_cursor"])
    found = [item["question"] for item in (*first["items"], *second["items"])]
    assert found == [f"Question {number}" for number in range(6, -1, -1)]
    assert second["next_cursor"] is None


async def test_of_a_deleted_thread_the_texts_are_not_shown(on_trial: DashboardOnTrial):
    message = await flagged(on_trial, 1, note="Look.")
    await on_trial.services.threads.delete_thread("u1", message.thread_id, now=on_trial.trial.clock.now())
    (shown,) = (await on_trial.get(PATH))["items"]
    assert (shown["question"], shown["answer"], shown["note"]) == (None, None, "Look.")


async def test_a_flag_that_was_taken_back_is_gone(on_trial: DashboardOnTrial):
    message = await flagged(on_trial, 1)
    await Flags(on_trial.services.threads, on_trial.trial.clock).unflag("u1", "n" + message.run_id[1:])
    assert (await on_trial.get(PATH))["items"] == []
