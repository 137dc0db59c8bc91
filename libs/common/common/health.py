"""Health and metrics, the same for every service.

`/health/live` says that the event loop turns and asks nobody. `/health/ready` asks the parts that the
service cannot work without, and names what is wrong, and what is worth a look. `/metrics` is for Prometheus.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pymongo.errors import PyMongoError

from common.mongo.client import Database, ping

Check = Callable[[], Awaitable[Sequence[str]]]
"""Returns what is wrong in plain words; empty is well."""


class Notice(str):
    """What is worth a look, but no reason to send the service no more work."""

    __slots__ = ()


_CHECK_TIMEOUT_S = 3.0


def health_router(checks: Sequence[Check]) -> APIRouter:
    """Make the three routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/health/live")
    async def live() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "ok"}

    @router.get("/health/ready")
    async def ready() -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        results = await asyncio.gather(*(_bounded(check) for check in checks))
        problems = [problem for result in results for problem in result]
        wrong = [problem for problem in problems if not isinstance(problem, Notice)]
        notices = [problem for problem in problems if isinstance(problem, Notice)]
        body: dict[str, object] = {"status": "unready" if wrong else "ready"}
        body |= {"wrong": wrong} if wrong else {}
        body |= {"notices": notices} if notices else {}
        return JSONResponse(body, status_code=503 if wrong else 200)

    @router.get("/metrics")
    async def metrics() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


def mongo_check(db: Database) -> Check:
    async def check() -> Sequence[str]:
        try:
            await ping(db)
        except PyMongoError as error:
            return [f"MongoDB does not answer ({type(error).__name__})"]
        return []

    return check


async def _bounded(check: Check) -> Sequence[str]:
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return ["a check did not end in time"]
