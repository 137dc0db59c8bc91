"""Readiness tells apart what takes a service out of rotation and what is only worth a look."""

from collections.abc import Sequence

import httpx
import pytest
from fastapi import FastAPI

from common.health import Notice, health_router


@pytest.mark.parametrize(
    ("found", "status", "body"),
    [
        ([], 200, {"status": "ready"}),
        ([Notice("look")], 200, {"status": "ready", "notices": ["look"]}),
        (["down"], 503, {"status": "unready", "wrong": ["down"]}),
        (
            [Notice("look"), "down"],
            503,
            {"status": "unready", "wrong": ["down"], "notices": ["look"]},
        ),
    ],
)
async def test_a_notice_is_shown_and_the_service_stays_ready(
    found: list[str], status: int, body: dict[str, object]
):
    async def check() -> Sequence[str]:
        return found

    app = FastAPI()
    app.include_router(health_router([check]))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (status, body)
