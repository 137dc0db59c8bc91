"""The routes of usage."""

from fastapi import APIRouter, Depends

from gateway.context import GatewayServices
from gateway.dashboard.parameters import ReportRange, refuse_operators
from gateway.dashboard.shapes import UsageAnswer
from gateway.policy import OperatorSession

router = APIRouter(tags=["dashboard"], dependencies=[Depends(refuse_operators)])


@router.get("/dashboard/overall/usage")
async def usage(_session: OperatorSession, services: GatewayServices, asked: ReportRange) -> UsageAnswer:
    """Tokens, runs and active users of a range, with the time of equal length before it.

    By default the last 30 days. A date is that whole day in `tz`, also as `date_to`; `date_to` with a time is
    the first moment that is not in the range. Lists have at most 200 rows: the last one then is the rest.
    """
    return await services.dashboard.usage(asked)
