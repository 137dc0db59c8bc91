"""Who may call a route. Every route names its policy as a dependency, or the gateway does not start."""

from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from common.auth import Session, verify_session
from common.errors import Forbidden, Malformed
from gateway.context import services_of
from gateway.sessions.integration import check_integration
from gateway.sessions.presented import presented_token

PolicyName = Literal["public", "user", "operator", "integration"]


class Policy:
    """A dependency that lets a request through or raises."""

    name: PolicyName


class Public(Policy):
    """Anybody."""

    name: PolicyName = "public"

    async def __call__(self) -> None:
        return


class User(Policy):
    """Whoever has a session. `changes` marks a GET that changes something: no cookie from elsewhere then."""

    name: PolicyName = "user"

    def __init__(self, *, changes: bool = False) -> None:
        self._changes = changes

    async def __call__(self, request: Request) -> Session:
        services = services_of(request)
        if self._changes and "prefetch" in request.headers.get("sec-purpose", ""):
            raise Malformed("This address changes something and is not for prefetching")
        token = presented_token(request, settings=services.settings, changes=self._changes)
        session = verify_session(token, secret=services.settings.shared_secret, now=services.clock.now())
        request.state.user_id = session.user_id
        return session


class Operator(User):
    """Whoever has a session with the role `operator`."""

    name: PolicyName = "operator"

    async def __call__(self, request: Request) -> Session:
        session = await super().__call__(request)
        if session.role != "operator":
            raise Forbidden
        return session


class Integration(Policy):
    """The customer's CRM or main application."""

    name: PolicyName = "integration"

    async def __call__(self, request: Request) -> None:
        services = services_of(request)
        authorization = request.headers.get("authorization", "")
        check_integration(authorization, settings=services.settings, now=services.clock.now())


PUBLIC = Depends(Public())
INTEGRATION = Depends(Integration())
UserSession = Annotated[Session, Depends(User())]
ChangingUserSession = Annotated[Session, Depends(User(changes=True))]
"""For the GETs that change something, kept for existing clients."""
OperatorSession = Annotated[Session, Depends(Operator())]


class RouteWithoutPolicy(RuntimeError):
    """A route would be open to anybody by oversight."""


def policies_of(app: FastAPI) -> dict[str, set[PolicyName]]:
    """Return the policies of every route, mounts included, by `METHOD path`."""
    found: dict[str, set[PolicyName]] = {}
    for route in iter_route_contexts(app.routes):
        dependant: Dependant | None = getattr(route, "dependant", None)
        names = set[PolicyName]() if dependant is None else _policies_in(dependant)
        for method in sorted(route.methods or {"ANY"}):
            found[f"{method} {route.path_format or route.path}"] = names
    return found


def check_policies(app: FastAPI) -> None:
    """Raise RouteWithoutPolicy unless every route has exactly one policy."""
    wrong = [route for route, names in policies_of(app).items() if len(names) != 1]
    if wrong:
        raise RouteWithoutPolicy(f"declare exactly one policy for: {', '.join(sorted(wrong))}")


def _policies_in(dependant: Dependant) -> set[PolicyName]:
    names: set[PolicyName] = {dependant.call.name} if isinstance(dependant.call, Policy) else set()
    return names.union(*(_policies_in(child) for child in dependant.dependencies))
