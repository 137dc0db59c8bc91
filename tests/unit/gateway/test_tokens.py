"""Thirty bad tokens, by every way in, get one and the same answer."""

import base64
import json
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest

from support.gateway_app import SECRET, bearer, gateway_client, gateway_services, session_of

PROBE = "/chat/file?id=f_" + "0" * 32


def _part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def bad_tokens() -> dict[str, str]:
    services = gateway_services()
    now = services.clock.now()
    exp = int((now + timedelta(hours=1)).timestamp())
    good = {"sub": "u1", "exp": exp}
    valid = jwt.encode(good, SECRET, algorithm="HS256")
    head, body, signature = valid.split(".")

    def signed(claims: Any, *, secret: str = SECRET, algorithm: str = "HS256", **headers: object) -> str:
        return jwt.encode(claims, secret, algorithm=algorithm, headers=headers or None)

    return {
        "not a token": "hello",
        "two parts": f"{head}.{body}",
        "four parts": f"{valid}.{signature}",
        "alg none": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        "alg None": f"{_part({'alg': 'None'})}.{body}.",
        "alg nOnE with the signature": f"{_part({'alg': 'nOnE'})}.{body}.{signature}",
        "alg missing": f"{_part({'typ': 'JWT'})}.{body}.{signature}",
        "alg is a list": f"{_part({'alg': ['HS256']})}.{body}.{signature}",
        "HS384": signed(good, secret=SECRET * 2, algorithm="HS384"),
        "HS512": signed(good, secret=SECRET * 2, algorithm="HS512"),
        "RS256 with an HMAC": f"{_part({'alg': 'RS256', 'typ': 'JWT'})}.{body}.{signature}",
        "another secret": signed(good, secret="b" * 32),
        "no signature": f"{head}.{body}.",
        "signature cut": valid[:-4],
        "payload changed": f"{head}.{_part({**good, 'sub': 'u2'})}.{signature}",
        "payload is no JSON": f"{head}.{_part(b'not json')}.{signature}",
        "payload is a list": f"{head}.{_part(['sub', 'u1'])}.{signature}",
        "critical header": signed(good, crit=["x"], x=1),
        "kid is a path with another secret": signed(good, secret="c" * 32, kid="../../etc/passwd"),
        "no exp": signed({"sub": "u1"}),
        "exp is text": signed({"sub": "u1", "exp": str(exp)}),
        "exp is a fraction": signed({"sub": "u1", "exp": exp + 0.5}),
        "exp is true": signed({"sub": "u1", "exp": True}),
        "exp in milliseconds": signed({"sub": "u1", "exp": exp * 1000}),
        "exp is endless": signed({"sub": "u1", "exp": 10**30}),
        "expired": session_of(services, ttl_s=-31),
        "nbf in the future": signed({**good, "nbf": exp - 10}),
        "no sub": signed({"exp": exp}),
        "sub is empty": signed({**good, "sub": ""}),
        "sub has a line break": signed({**good, "sub": "u1\nu2"}),
        "sub is too long": signed({**good, "sub": "u" * 300}),
        "role is unknown": signed({**good, "role": "root"}),
        "company is a number": signed({**good, "company": 7}),
        "name is an object": signed({**good, "name": {"$gt": ""}}),
        "10 KiB": signed({**good, "pad": "x" * 10_240}),
        "trailing bytes": valid + "AAAA",
        "padding": valid + "==",
        "null byte": valid + "%00",
    }


BAD = bad_tokens()
WAYS = ("query", "bearer", "cookie")
CASES = [(name, way) for name in BAD for way in WAYS if (name, way) != ("10 KiB", "query")]
"""An address of 10 KiB is refused before anybody looks for a token in it."""


@pytest.fixture(scope="module")
async def client():
    async with gateway_client(gateway_services()) as client:
        yield client


async def refusal_of(client: httpx.AsyncClient, token: str, way: str) -> httpx.Response:
    match way:
        case "query":
            return await client.get(PROBE, params={"id": "f_" + "0" * 32, "s": token})
        case "bearer":
            return await client.get(PROBE, headers=bearer(token))
        case _:
            return await client.get(PROBE, headers={"Cookie": f"session={token}"})


@pytest.mark.parametrize(("name", "way"), CASES)
async def test_a_bad_token_is_refused_like_none_at_all(client: httpx.AsyncClient, name: str, way: str):
    nothing = await client.get(PROBE)
    refused = await refusal_of(client, BAD[name], way)

    assert refused.status_code == 401
    assert refused.content == nothing.content
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "unauthenticated"
    assert refused.json()["login_url"] == "https://login.test/"


async def test_a_bad_token_is_not_made_up_for_by_a_good_cookie(client: httpx.AsyncClient):
    good = session_of(gateway_services())
    refused = await client.get(PROBE, headers={**bearer("bad"), "Cookie": f"session={good}"})
    assert refused.status_code == 401


async def test_a_session_may_be_half_a_minute_too_old():
    services = gateway_services()
    async with gateway_client(services) as client:
        token = session_of(services, ttl_s=-29)
        answer = await client.post("/chat/session", headers=bearer(token))
    assert answer.status_code == 200
