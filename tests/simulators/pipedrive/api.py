"""The HTTP side: API v1 and v2 behind token and limits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from simulators.pipedrive.answers import Refused, done, fault_answer, invalid, too_many, unauthorized
from simulators.pipedrive.control import control_routes
from simulators.pipedrive.deliveries import ACTIONS, OBJECTS, WEBHOOKS_PER_USER_MAX
from simulators.pipedrive.page import page_routes
from simulators.pipedrive.persons import Fields, Records
from simulators.pipedrive.records import User
from simulators.pipedrive.simulator import Simulator

_REACHED_WITHIN_S = 2.0

Answer = Callable[[Request, User], Awaitable[Response]]


def create_app(simulator: Simulator) -> Starlette:
    return Starlette(
        routes=[*_Api(simulator).routes(), *control_routes(simulator), *page_routes(simulator)],
    )


class _Api:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._records = Records(simulator.company)
        self._fields = Fields(simulator.company)

    def routes(self) -> list[BaseRoute]:
        records, fields = self._records, self._fields
        routes: list[BaseRoute] = [
            self._route("GET", "/v1/users/me", self._me),
            self._route("GET", "/v1/webhooks", self._webhooks),
            self._route("POST", "/v1/webhooks", self._add_webhook),
            self._route("DELETE", "/v1/webhooks/{id:int}", self._delete_webhook),
            self._route("GET", "/v2/persons/search", lambda r, _: records.search(r)),
            self._route("GET", "/v2/personFields", lambda r, _: fields.list(r)),
            self._route("POST", "/v2/personFields", lambda r, _: fields.create(r)),
            self._route("GET", "/v2/personFields/{code}", lambda r, _: fields.get(r)),
            self._route("PATCH", "/v2/personFields/{code}", lambda r, _: fields.rename(r)),
            self._route("DELETE", "/v2/personFields/{code}", lambda r, _: fields.delete(r)),
            self._route("GET", "/v2/persons", lambda r, _: records.list(r, "person")),
            self._route("POST", "/v2/persons", lambda r, u: records.create(r, "person", u)),
            self._route("GET", "/v2/persons/{id:int}", lambda r, _: records.get(r, "person")),
            self._route("PATCH", "/v2/persons/{id:int}", lambda r, u: records.change(r, "person", u)),
            self._route("DELETE", "/v2/persons/{id:int}", lambda r, u: records.delete(r, "person", u)),
            self._route("GET", "/v2/organizations", lambda r, _: records.list(r, "organization")),
            self._route("POST", "/v2/organizations", lambda r, u: records.create(r, "organization", u)),
            self._route("GET", "/v2/organizations/{id:int}", lambda r, _: records.get(r, "organization")),
            self._route(
                "PATCH", "/v2/organizations/{id:int}", lambda r, u: records.change(r, "organization", u)
            ),
        ]
        return routes

    def _route(self, method: str, path: str, answer: Answer) -> Route:
        async def endpoint(request: Request) -> Response:
            return await self._answer(request, answer)

        return Route(f"/api{path}", endpoint, methods=[method])

    async def _answer(self, request: Request, answer: Answer) -> Response:
        limits, path = self._simulator.limits, request.url.path.removeprefix("/api")
        user = self._simulator.company.user_of(request.headers.get("x-api-token", ""))
        if user is None:
            return unauthorized()
        refusal = limits.admit(request.method, path)
        if refusal is not None:
            return too_many(limits.headers(), is_daily=refusal == "daily", told=True)
        fault = self._simulator.faults.pick(request.method, path)
        if fault is not None and fault.kind != "cut":
            return fault_answer(fault, limits.headers())
        try:
            response = await answer(request, user)
        except Refused as refused:
            response = refused.response
        response.headers.update(limits.headers())
        return response if fault is None else fault_answer(fault, {})

    async def _me(self, _request: Request, user: User) -> Response:
        company = self._simulator.company
        return done(
            {
                "id": user.id,
                "name": user.name,
                "email": user.email,
                "is_admin": int(user.is_admin),
                "active_flag": user.is_active,
                "company_id": company.id,
                "company_name": company.domain.capitalize(),
                "company_domain": company.domain,
            }
        )

    async def _webhooks(self, _request: Request, user: User) -> Response:
        found = [hook for hook in self._simulator.deliveries.webhooks.values() if hook.owner_id == user.id]
        return _v1([webhook.as_api() for webhook in found if webhook.removed_at is None])

    async def _add_webhook(self, request: Request, user: User) -> Response:
        body: dict[str, Any] = await request.json()
        if body.get("event_action") not in ACTIONS or body.get("event_object") not in OBJECTS:
            raise invalid("event_action or event_object: not allowed")
        if not body.get("name") or body.get("version", "2.0") not in {"1.0", "2.0"}:
            raise invalid("name: Required")
        url = str(body.get("subscription_url", ""))
        if self._simulator.checks_reach and not await _is_reachable(url):
            errors = {"subscription_url": ["invalid or non-reachable URL"]}
            return JSONResponse({"status": "error", "errors": errors}, status_code=400)
        deliveries = self._simulator.deliveries
        own = [
            hook for hook in deliveries.webhooks.values() if hook.owner_id == user.id and not hook.removed_at
        ]
        if len(own) >= WEBHOOKS_PER_USER_MAX:
            errors = {"webhook": ["Webhook limit reached"]}
            return JSONResponse({"status": "error", "errors": errors}, status_code=422)
        webhook = deliveries.subscribe(
            user.id,
            url=url,
            action=body["event_action"],
            object=body["event_object"],
            name=body["name"],
            version=body.get("version", "2.0"),
            user=body.get("http_auth_user"),
            password=body.get("http_auth_password"),
        )
        return _v1(webhook.as_api(), status=201)

    async def _delete_webhook(self, request: Request, user: User) -> Response:
        webhook = self._simulator.deliveries.webhooks.get(request.path_params["id"])
        if webhook is None or webhook.removed_at is not None:
            return JSONResponse({"status": "error", "errors": {"id": ["not found"]}}, status_code=404)
        if webhook.owner_id != user.id:
            return JSONResponse({"success": False, "message": "Forbidden"}, status_code=403)
        webhook.removed_at = self._simulator.clock.now()
        return JSONResponse({"status": "ok", "success": True})


def _v1(data: Any, *, status: int = 200) -> Response:
    return JSONResponse({"status": "ok", "success": True, "data": data}, status_code=status)


async def _is_reachable(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return False
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(_REACHED_WITHIN_S):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError:
        return False
    writer.close()
    return True
