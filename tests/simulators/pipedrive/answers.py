"""What the API answers when it does not do as asked."""

from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response

from simulators.pipedrive.faults import ApiFault

_BLOCKED = (
    "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>"
    "<body><h1>Sorry, you have been blocked</h1></body></html>"
)
_TIMED_OUT = "<!DOCTYPE html><html><head><title>524: A timeout occurred</title></head></html>"
_NO_SUCH_PAGE = "<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>"


class Refused(Exception):
    """Ends a call with this answer."""

    def __init__(self, response: Response) -> None:
        self.response = response


def error(status: int, message: str, info: str = "") -> Response:
    body = {"success": False, "error": message, "error_info": info, "errorCode": status}
    return JSONResponse(body, status_code=status)


def not_found(what: str) -> Refused:
    return Refused(error(404, f"{what} not found"))


def invalid(message: str) -> Refused:
    return Refused(error(400, message, "Please check the developers documentation."))


def unauthorized() -> Response:
    return error(401, "unauthorized access", "Please check developers.pipedrive.com")


def too_many(headers: dict[str, str], *, is_daily: bool, told: bool) -> Response:
    """Refuse with 429. Both kinds look alike but for headers, which may be missing."""
    answer = error(429, "Request over limit", "See https://pipedrive.readme.io")
    if told:
        answer.headers.update(headers)
        if is_daily:
            answer.headers["x-daily-ratelimit-token-remaining"] = "0"
        else:
            answer.headers["x-ratelimit-remaining"] = "0"
            answer.headers["retry-after"] = headers["x-ratelimit-reset"]
    return answer


def fault_answer(fault: ApiFault, headers: dict[str, str]) -> Response:
    if fault.kind in {"burst", "daily"}:
        return too_many(headers, is_daily=fault.kind == "daily", told=fault.headers)
    return {
        "blocked": HTMLResponse(_BLOCKED, status_code=403),
        "unauthorized": unauthorized(),
        "page": HTMLResponse(_NO_SUCH_PAGE, status_code=404),
        "forbidden": JSONResponse({"success": False, "error": "Forbidden"}, status_code=403),
        "error": error(500, "Internal server error"),
        "timeout": HTMLResponse(_TIMED_OUT, status_code=524),
        "cut": HTMLResponse(_TIMED_OUT, status_code=524),
        "unsuccessful": JSONResponse({"success": False, "data": {}, "error": "Something went wrong"}),
        "null": JSONResponse(None),
        "no_data": JSONResponse({"success": True, "data": None}),
    }[fault.kind]


def done(data: Any, *, status: int = 200, **more: Any) -> Response:
    return JSONResponse({"success": True, "data": data, **more}, status_code=status)
