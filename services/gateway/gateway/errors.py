"""Every error as `application/problem+json` (RFC 9457), from the one table in `common.errors`.

What a person reads is `title` and `detail`, what a program reads is `code` and the members beside it.
"""

from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pymongo.errors import ConnectionFailure, PyMongoError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from common.errors import AppError, Malformed, MethodNotAllowed, NotFound, Unauthenticated, Unavailable
from common.log import get_logger
from gateway.context import services_of

log = get_logger()

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = {429: 60, 503: 5}
_NAME_CHARACTERS_MAX = 80


def problem(error: AppError, **members: Any) -> Response:
    """Write an error. `members` join those that the error itself carries."""
    body = {
        **error.extra,
        **members,
        "type": f"/docs#{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
    }
    headers: dict[str, str] = {}
    retry_after_s = error.retry_after_s or _RETRY_AFTER_S.get(error.status)
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if error.status == Unauthenticated.status:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        orjson.dumps(body, option=orjson.OPT_UTC_Z, default=str),
        status_code=error.status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def handle_errors(app: FastAPI) -> None:
    """Register what turns exceptions into problems. What is not listed is a bug and becomes a 500."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(PyMongoError, _database_error)
    app.add_exception_handler(RedisError, _redis_error)


async def _app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    return app_problem(request, error)


def app_problem(request: Request, error: AppError) -> Response:
    """Write an error with what the request adds to it: where to sign in, or by which id to report it."""
    if isinstance(error, Unauthenticated):
        return problem(error, login_url=services_of(request).settings.sign_in_url)
    if error.status >= AppError.status:
        log.warning("unavailable", code=error.code, reason=error.detail)
    if error.status == AppError.status:
        return problem(error, id=request.state.request_id)
    return problem(error)


async def _invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    parameters = [_invalid_parameter(item) for item in error.errors()]
    detail = "; ".join(f"{item['name']}: {item['reason']}" for item in parameters)
    return problem(Malformed(detail, parameters=parameters))


def _invalid_parameter(item: dict[str, Any]) -> dict[str, str]:
    """Name a parameter and what is wrong with it. What was sent is not repeated."""
    place, *path = item["loc"]
    name = ".".join(str(part) for part in path) or place
    return {"in": str(place), "name": name[:_NAME_CHARACTERS_MAX], "reason": item["msg"]}


async def _http_exception(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            return problem(NotFound("There is nothing at this address"))
        case 405:
            answer = problem(MethodNotAllowed())
            answer.headers.update(error.headers or {})
            return answer
        case _:
            return problem(Malformed())


async def _database_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, PyMongoError)
    if isinstance(error, ConnectionFailure) or error.timeout:
        log.warning("database_away", error=type(error).__name__)
        return problem(Unavailable())
    raise error


async def _redis_error(_request: Request, error: Exception) -> Response:
    log.warning("redis_away", error=type(error).__name__)
    return problem(Unavailable())
