"""`/int/tokens` and `/int/pipedrive/webhooks`: store, answer, and let the queue do the rest."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from common.errors import Malformed
from common.integration_inbox import InboxRow
from common.quota_text import NotAQuota, read_quota
from gateway.context import GatewayServices
from gateway.integration.identity import tokens_call_id, webhook_id
from gateway.parameters import SAYS_SOMETHING
from gateway.policy import INTEGRATION

router = APIRouter(tags=["integration"], dependencies=[INTEGRATION])

_DECIDED_WITHIN_S = 0.7
_ACTOR = "integration"
_WHY_NOT = {
    "not_a_number": "not a number",
    "negative": "negative",
    "not_whole": "not a whole number",
    "too_large": "too large",
    "ambiguous": "read differently in different countries; write 50000 or 50,000",
}

UserRef = Annotated[
    str, Query(alias="id", min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"), SAYS_SOMETHING
]
QuotaText = Annotated[str, Query(alias="quota", max_length=100)]


class TokensAnswer(BaseModel):
    """`accepted`: stored, and not decided yet. `stale`: something newer is in force."""

    status: Literal["applied", "unchanged", "stale", "accepted"]
    user_id: str
    quota: int | None
    token_balance: int | None = None


class WebhookAnswer(BaseModel):
    status: Literal["accepted"] = "accepted"


@router.put("/int/tokens", response_model_exclude_none=True)
@router.post("/int/tokens", response_model_exclude_none=True)
async def set_tokens(
    request: Request, response: Response, services: GatewayServices, user_ref: UserRef, quota_text: QuotaText
) -> TokensAnswer:
    """Set a user's quota, absolutely. 200 when it is decided, 202 when it is stored and will be.

    The body, `{"int": {…}}`, may say `person_id`, `email`, `name`, `updated_at` (orders notifications) and
    `event_id` (names one). An empty quota is a cleared field and means what the settings say.
    """
    body = (await request.body()).decode(errors="replace")
    row = InboxRow(
        id=tokens_call_id(body, user_ref=user_ref, quota_text=quota_text),
        channel="tokens",
        received_at=services.clock.now(),
        body=body,
        actor=_ACTOR,
        user_ref=user_ref,
        quota_text=quota_text,
    )
    # Also what cannot be a quota: an operator then sees it, since an automation does not read answers.
    await services.inbox.add(row)
    try:
        quota = read_quota(quota_text)
    except NotAQuota as refused:
        reason = _WHY_NOT[refused.problem]
        raise Malformed(
            f"quota: {reason}", parameters=[{"in": "query", "name": "quota", "reason": reason}]
        ) from None
    decision = await services.inbox.decision(row.id, within_s=_DECIDED_WITHIN_S)
    answer = _answer(decision, user_id=row.user_ref or "", quota=quota)
    response.status_code = 202 if answer.status == "accepted" else 200
    return answer


@router.post("/int/pipedrive/webhooks")
async def receive_webhook(request: Request, services: GatewayServices) -> WebhookAnswer:
    """Take a webhook (v2) of Pipedrive, whatever it says: ten refused ones would be half an hour without."""
    body = (await request.body()).decode(errors="replace")
    await services.inbox.add(
        InboxRow(
            id=webhook_id(body),
            channel="webhook",
            received_at=services.clock.now(),
            body=body,
            actor="pipedrive",
        )
    )
    return WebhookAnswer()


def _answer(decision: dict[str, Any] | None, *, user_id: str, quota: int | None) -> TokensAnswer:
    if decision is None or decision["status"] == "waiting":
        return TokensAnswer(status="accepted", user_id=user_id, quota=quota)
    if decision["status"] == "rejected":
        raise Malformed(decision["why"])
    status = decision["status"]
    return TokensAnswer(
        status=status if status in {"applied", "stale"} else "unchanged",
        user_id=decision["user_id"] or user_id,
        quota=quota if decision["quota"] is None else decision["quota"],
        token_balance=decision["token_balance"],
    )
