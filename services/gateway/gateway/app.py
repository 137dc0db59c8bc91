"""The HTTP application: its routes, and what surrounds every one of them."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from common.health import Check, health_router
from gateway import docs
from gateway.asking import routes as asking
from gateway.balances import routes as balances
from gateway.built_app import app_router
from gateway.context import Services
from gateway.dashboard import (
    flag_routes,
    operations_routes,
    summary_routes,
    transaction_routes,
    usage_routes,
    user_routes,
)
from gateway.errors import handle_errors
from gateway.files import routes as files
from gateway.flags import routes as flags
from gateway.integration import routes as integration
from gateway.integration import waiting as integration_waiting
from gateway.middleware.access_log import AccessLog
from gateway.middleware.cors import Cors
from gateway.middleware.security_headers import SecurityHeaders
from gateway.middleware.send_timeout import SendTimeout
from gateway.middleware.size_limits import SizeLimits
from gateway.openapi import describe
from gateway.policy import PUBLIC, Integration, Operator, check_policies
from gateway.sessions import routes as sessions
from gateway.settings import Settings, origin_of
from gateway.streaming import routes as streaming
from gateway.threads import routes as threads


def create_app(services: Services) -> FastAPI:
    """Build the application. Raises RouteWithoutPolicy when a route is open by oversight."""
    app = _new_app(_middleware(services.settings, services))
    app.state.services = services
    handle_errors(app)
    if services.settings.app_dir is not None:
        app.include_router(app_router(services.settings.app_dir))
    _add_routes(app, services.checks)
    return app


def api_description() -> dict[str, Any]:
    """Describe the API as OpenAPI, without anything behind it: what `contracts/openapi` keeps."""
    app = _new_app()
    _add_routes(app, checks=())
    return app.openapi()


def _new_app(middleware: Sequence[Middleware] = ()) -> FastAPI:
    return FastAPI(
        title="Metered chat",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        middleware=middleware,
    )


def _add_routes(app: FastAPI, checks: Sequence[Check]) -> None:
    for router in _routers():
        app.include_router(router)
    app.include_router(health_router(checks), dependencies=[PUBLIC])
    check_policies(app)
    describe(app)


def _routers() -> tuple[APIRouter, ...]:
    return (
        sessions.router,
        threads.router,
        asking.router,
        streaming.router,
        flags.router,
        files.router,
        balances.router,
        integration.router,
        integration_waiting.router,
        usage_routes.router,
        transaction_routes.router,
        user_routes.router,
        flag_routes.router,
        operations_routes.router,
        summary_routes.router,
        docs.router,
    )


def _middleware(settings: Settings, services: Services) -> list[Middleware]:
    """The first is the outermost. Errors end in AccessLog, so that a 500 has all headers too."""
    return [
        Middleware(SecurityHeaders, is_https=settings.is_https),
        Middleware(
            Cors, public_origin=origin_of(settings.public_origin), int_origin=origin_of(settings.int_url)
        ),
        Middleware(AccessLog, clock=services.clock),
        Middleware(
            SizeLimits,
            url_bytes_max=settings.url_bytes_max,
            body_bytes_max=settings.body_bytes_max,
            large_body_bytes_max=settings.int_body_bytes_max,
            # The report of a year that a summary is asked for has more than other bodies may.
            large={"/int/": Integration(), "/dashboard/overall/resume": Operator()},
        ),
        Middleware(SendTimeout, timeout_s=settings.send_timeout_s),
    ]
