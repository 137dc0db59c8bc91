"""A page that is open hears of its user's tokens as the ledger says, and of nobody else's."""

import asyncio

import pytest

from common.amqp.delivery import Delivery, Done
from common.events.ledger import AccountView, BalanceChangedV1
from gateway.balances.listeners import BalanceListeners
from support.clock import FakeClock

SOON_S = 10.0


@pytest.fixture
def stopping() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def listeners(stopping: asyncio.Event) -> BalanceListeners:
    return BalanceListeners(stopping=stopping)


async def tell(listeners: BalanceListeners, *, sequence: int, user_id: str = "u1") -> None:
    account = AccountView(
        user_id=user_id,
        token_balance=sequence * 10,
        token_held=0,
        token_available=sequence * 10,
        token_grant=0,
        sequence=sequence,
    )
    event = BalanceChangedV1(
        event_id="e_1", occurred_at=FakeClock().now(), account=account, company=None, cause="quota"
    )
    delivery = Delivery(message=event, message_id="m", redelivered=False, attempt=1)
    assert await listeners(delivery) == Done()


async def test_the_newest_state_is_told_once(listeners: BalanceListeners):
    with listeners.listen("u1") as listener:
        for sequence in (2, 4, 3):
            await tell(listeners, sequence=sequence)
        heard = await listener.next(within_s=SOON_S)
        assert heard is not None
        assert heard.token_balance == 40
        assert await listener.next(within_s=0) is None


async def test_what_comes_late_does_not_replace_what_was_read(listeners: BalanceListeners):
    with listeners.listen("u1") as listener:
        await tell(listeners, sequence=4)
        assert await listener.next(within_s=SOON_S) is not None
        for sequence in (3, 4):
            await tell(listeners, sequence=sequence)
        assert await listener.next(within_s=0) is None


async def test_all_pages_of_a_user_hear_and_others_do_not(listeners: BalanceListeners):
    with listeners.listen("u1") as one, listeners.listen("u1") as two, listeners.listen("u2") as other:
        await tell(listeners, sequence=2)
        heard = [await page.next(within_s=SOON_S) for page in (one, two)]
        assert [account and account.sequence for account in heard] == [2, 2]
        assert await other.next(within_s=0) is None


async def test_a_page_that_has_left_is_forgotten(listeners: BalanceListeners):
    with listeners.listen("u1") as listener:
        pass
    await tell(listeners, sequence=2)
    assert await listener.next(within_s=0) is None


async def test_at_the_end_all_are_closed_also_those_that_come_late(
    listeners: BalanceListeners, stopping: asyncio.Event
):
    ending = asyncio.create_task(listeners.run())
    with listeners.listen("u1") as early:
        stopping.set()
        assert await early.next(within_s=SOON_S) is None
        with listeners.listen("u1") as late:
            assert await late.next(within_s=SOON_S) is None
            assert (early.is_closed, late.is_closed) == (True, True)
    ending.cancel()
