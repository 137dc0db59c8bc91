"""The route of the summary. Its path says `resume`, for existing clients."""

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import Field, model_validator

from common.clock import rfc3339
from gateway.context import GatewayServices
from gateway.dashboard.parameters import refuse_operators
from gateway.dashboard.ranges import Range, malformed, read_range
from gateway.dashboard.shapes import Shape
from gateway.parameters import Body
from gateway.policy import OperatorSession

router = APIRouter(tags=["dashboard"], dependencies=[Depends(refuse_operators)])


class SummaryBody(Body):
    """A range, or `stats`: an answer of `/dashboard/overall/usage`, of which only the range is believed."""

    stats: dict[str, Any] | None = None
    date_from: str | None = Field(default=None, max_length=40)
    date_to: str | None = Field(default=None, max_length=40)
    tz: str = Field(default="UTC", max_length=64)

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "SummaryBody":
        if self.stats is not None and (self.date_from or self.date_to):
            raise ValueError("either stats or a range, not both")
        return self


class SummaryAnswer(Shape):
    """`figures` are what the model was given. `corrected` names those of `stats` that were not true."""

    summary: str
    figures: dict[str, Any]
    model: str
    generated_at: str
    corrected: list[str]


@router.post("/dashboard/overall/resume")
async def resume(_session: OperatorSession, services: GatewayServices, body: SummaryBody) -> SummaryAnswer:
    """Have a model put the usage of a range into words, from figures computed for it.

    Its tokens are booked to the account `house`. 500 when the model fails.
    """
    now = services.clock.now()
    if body.stats is None:
        asked = read_range(body.date_from, body.date_to, body.tz, now=now, place="body")
    else:
        asked = _range_of(body.stats, services)
    written = await services.dashboard.summary(asked, body.stats)
    return SummaryAnswer(
        summary=written.text,
        figures=written.figures,
        model=written.model,
        generated_at=rfc3339(written.generated_at),
        corrected=written.corrected,
    )


def _range_of(stats: dict[str, Any], services: GatewayServices) -> Range:
    """Read the range that statistics claim to be of. Raises Malformed."""
    found: dict[str, str] = {}
    for name in ("date_from", "date_to", "tz"):
        value = stats.get(name, "UTC" if name == "tz" else None)
        if not isinstance(value, str):
            raise malformed(f"stats.{name}", "missing, or not text", place="body")
        found[name] = value[:64]
    return read_range(**found, now=services.clock.now(), place="body", at="stats.")
