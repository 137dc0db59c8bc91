"""The routes of users."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field, model_validator

from common.clock import rfc3339
from common.errors import NotFound, UnknownAccount
from common.events.ledger import AccountReply, AdjustAccountV1
from common.ids import new_id
from gateway.context import GatewayServices, Services
from gateway.dashboard.cursors import read_cursor, write_cursor
from gateway.dashboard.parameters import (
    PageStart,
    Reason,
    RowCursor,
    SearchText,
    UserIdInPath,
    refuse_operators,
)
from gateway.dashboard.ranges import malformed
from gateway.dashboard.shapes import UserDetail, UserPage, UserShape
from gateway.dashboard.transaction_routes import transaction_shape
from gateway.dashboard.usage_figures import Person
from gateway.dashboard.users import UserOrder, order_type, order_value
from gateway.parameters import PAGE_ROWS, Body, PageLimit
from gateway.policy import OperatorSession

router = APIRouter(tags=["dashboard"], dependencies=[Depends(refuse_operators)])

LATEST_ROWS = 20
TOKENS_MAX = 2**53 - 1
"""The largest integer that every reader of JSON keeps exactly."""

SortedBy = Annotated[UserOrder, Query(description="a field; with - in front, the greatest first")]
Balance = Annotated[int, Field(ge=-TOKENS_MAX, le=TOKENS_MAX)]


class TokensBody(Body):
    """Set the balance, the grant, or both. With `expected_balance`, a balance that moved is a conflict."""

    token_balance: Balance | None = None
    token_grant: int | None = Field(default=None, ge=0, le=TOKENS_MAX)
    expected_balance: Balance | None = None
    reason: Reason = "set by an operator"

    @model_validator(mode="after")
    def _sets_something(self) -> "TokensBody":
        if self.token_balance is None and self.token_grant is None:
            raise ValueError("token_balance or token_grant is needed")
        return self


@router.get("/dashboard/users")
async def list_users(
    _session: OperatorSession,
    services: GatewayServices,
    *,
    limit: PageLimit = PAGE_ROWS,
    start: PageStart = 0,
    cursor: RowCursor = None,
    q: SearchText = None,
    sort: SortedBy = "-last_active_at",
) -> UserPage:
    """Users with their balances. `q` finds who has words that begin so, in name, id, e-mail or company."""
    if cursor is not None and start:
        raise malformed("start", "not together with a cursor")
    after = read_cursor(cursor, sort, order_type(sort))
    users, text = services.dashboard.users, q or ""
    found = await users.page(text, sort, limit=limit + 1, start=start, after=after)
    last = found[limit - 1] if len(found) > limit else None
    return UserPage(
        items=[UserShape(**_user_fields(account)) for account in found[:limit]],
        total=await users.count(text),
        next_cursor=write_cursor(sort, order_value(sort, last), last["_id"]) if last else None,
    )


@router.get("/dashboard/users/{user_id:path}", response_model_exclude_unset=True)
async def show_user(
    _session: OperatorSession, services: GatewayServices, user_id: UserIdInPath
) -> UserDetail:
    """A user with their latest rows in the ledger."""
    return await _detail(services, user_id)


@router.post("/dashboard/users/{user_id:path}/tokens", response_model_exclude_unset=True)
async def set_tokens(
    session: OperatorSession, services: GatewayServices, user_id: UserIdInPath, body: TokensBody
) -> UserDetail:
    """Set a user's balance or grant. It becomes a row of the ledger, in the operator's name."""
    command = AdjustAccountV1(
        request_id=new_id("q"),
        user_id=user_id,
        actor=session.user_id,
        reason=body.reason,
        token_balance=body.token_balance,
        token_grant=body.token_grant,
        expected_balance=body.expected_balance,
    )
    try:
        await services.ledger.call(command, AccountReply)
    except UnknownAccount:
        raise NotFound from None
    return await _detail(services, user_id)


async def _detail(services: Services, user_id: str) -> UserDetail:
    account = await services.dashboard.users.find(user_id)
    if account is None:
        raise NotFound
    rows = await services.dashboard.transactions.latest(user_id, limit=LATEST_ROWS)
    person = Person(name=account["name"], email=account["email"], company=None)
    return UserDetail(
        **_user_fields(account),
        transactions=[transaction_shape(row, {user_id: person}) for row in rows],
    )


def _user_fields(account: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": account["_id"],
        "name": account["name"],
        "email": account["email"],
        "company": account["company"],
        "token_balance": account["balance"],
        "token_held": account["held"],
        "token_available": account["available"],
        "token_grant": account["token_grant"],
        "quota": account["quota"],
        "created_at": rfc3339(account["created_at"]),
        "last_active_at": rfc3339(account["last_active_at"]),
    }
