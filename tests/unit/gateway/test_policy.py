"""Every route says who may call it."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway.app import create_app
from gateway.policy import (
    INTEGRATION,
    PUBLIC,
    OperatorSession,
    RouteWithoutPolicy,
    UserSession,
    check_policies,
    policies_of,
)
from support.gateway_app import bearer, gateway_client, gateway_services, session_of


async def nothing() -> None:
    return


def test_every_route_of_the_gateway_has_exactly_one_policy():
    policies = policies_of(create_app(gateway_services()))
    assert policies
    assert {len(names) for names in policies.values()} == {1}
    public = sorted(route for route, names in policies.items() if names == {"public"})
    assert public == [
        "GET /",
        "GET /docs",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
        "GET /openapi.json",
        "POST /chat/session",
    ]


def app_with(router: APIRouter, **options: Any) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(router, **options)
    return app


def test_a_route_without_a_policy_does_not_start():
    router = APIRouter()
    router.add_api_route("/open", nothing)
    with pytest.raises(RouteWithoutPolicy, match="GET /open"):
        check_policies(app_with(router))


def test_a_route_of_an_included_router_is_seen():
    inner, outer = APIRouter(), APIRouter()
    inner.add_api_route("/deep", nothing, methods=["POST"])
    outer.include_router(inner, prefix="/very")
    with pytest.raises(RouteWithoutPolicy, match="POST /very/deep"):
        check_policies(app_with(outer))


def test_a_mount_counts_as_a_route():
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.mount("/files", PlainTextResponse("x"))
    with pytest.raises(RouteWithoutPolicy, match="/files"):
        check_policies(app)


def test_a_plain_route_of_starlette_has_no_policy():
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.router.routes.append(Route("/plain", nothing))
    with pytest.raises(RouteWithoutPolicy, match="/plain"):
        check_policies(app)


def test_fastapis_own_pages_have_no_policy():
    with pytest.raises(RouteWithoutPolicy, match="openapi"):
        check_policies(FastAPI())


def test_two_policies_are_one_too_many():
    router = APIRouter()

    async def both(session: UserSession) -> None:
        return

    router.add_api_route("/both", both)
    with pytest.raises(RouteWithoutPolicy, match="GET /both"):
        check_policies(app_with(router, dependencies=[PUBLIC]))


def test_a_policy_may_be_inherited_or_nested():
    router = APIRouter()
    router.add_api_route("/inherited", nothing)

    async def account_of(session: UserSession) -> str:
        return session.user_id

    async def nested(account: Annotated[str, Depends(account_of)]) -> str:
        return account

    check_policies(app_with(router, dependencies=[INTEGRATION]))
    inner = APIRouter()
    inner.add_api_route("/nested", nested)
    check_policies(app_with(inner))


class TestOperatorAndIntegration:
    @pytest.fixture
    def services(self):
        return gateway_services(int_user="crm", int_password="p:ä")

    @pytest.fixture
    async def client(self, services):
        app = create_app(services)

        async def dashboard(session: OperatorSession) -> str:
            return session.user_id

        app.add_api_route("/dashboard/probe", dashboard)
        app.add_api_route("/int/probe", nothing, dependencies=[INTEGRATION])
        check_policies(app)
        async with gateway_client(services, app) as client:
            yield client

    @pytest.mark.parametrize(
        ("claims", "status"), [(None, 401), ({}, 403), ({"role": "user"}, 403), ({"role": "operator"}, 200)]
    )
    async def test_the_dashboard_is_for_operators(self, client, services, claims, status):
        headers = {} if claims is None else bearer(session_of(services, **claims))
        answer = await client.get("/dashboard/probe", headers=headers)
        assert answer.status_code == status

    async def test_the_integration_signs_in_by_basic(self, client):
        assert (await client.get("/int/probe", auth=("crm", "p:ä"))).status_code == 200

    async def test_the_integration_signs_in_by_a_token_with_its_scope(self, client, services):
        token = session_of(services, "crm", scope="int")
        assert (await client.get("/int/probe", headers=bearer(token))).status_code == 200

    @pytest.mark.parametrize(
        "authorization",
        [
            "",
            "Basic",
            "Basic !!!",
            "Basic Og==",
            "Basic Y3JtOg==",
            "Basic Y3JtOndyb25n",
            "Basic YWRtaW46cDrDpA==",
            "Digest x",
            "Bearer x",
        ],
    )
    async def test_the_integration_refuses_anything_else(self, client, authorization):
        answer = await client.get("/int/probe", headers={"Authorization": authorization})
        assert answer.status_code == 401

    @pytest.mark.parametrize("claims", [{}, {"scope": "user"}, {"scope": ["int"]}, {"role": "operator"}])
    async def test_a_persons_session_does_not_open_the_integration(self, client, services, claims):
        headers = bearer(session_of(services, **claims))
        assert (await client.get("/int/probe", headers=headers)).status_code == 401

    async def test_an_expired_integration_token_is_refused(self, client, services):
        headers = bearer(session_of(services, scope="int", ttl_s=-31))
        assert (await client.get("/int/probe", headers=headers)).status_code == 401

    async def test_without_a_password_basic_opens_nothing(self):
        services = gateway_services()
        app = create_app(services)
        app.add_api_route("/int/probe", nothing, dependencies=[INTEGRATION])
        async with gateway_client(services, app) as client:
            assert (await client.get("/int/probe", auth=("", ""))).status_code == 401
