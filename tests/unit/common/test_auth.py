from datetime import UTC, datetime, timedelta

import jwt
import pytest

from common.auth import issue_session, verify_session
from common.errors import Unauthenticated
from common.events.envelope import Company

SECRET = "a-secret-of-more-than-thirty-two-bytes"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def claims(**changes):
    return {"sub": "u1", "exp": int((NOW + HOUR).timestamp())} | changes


def signed(body, secret=SECRET, algorithm="HS256", **options):
    return jwt.encode(body, secret, algorithm=algorithm, **options)


def test_a_session_says_who_it_speaks_for():
    token = issue_session(
        "u1", secret=SECRET, now=NOW, ttl=HOUR, claims={"company": "acme", "role": "operator"}
    )
    session = verify_session(token, secret=SECRET, now=NOW)
    assert (session.user_id, session.role) == ("u1", "operator")
    assert session.company == Company(id="acme", name="acme")


def test_a_company_may_have_an_id_and_a_name():
    token = issue_session(
        "u1", secret=SECRET, now=NOW, ttl=HOUR, claims={"company": {"id": "7", "name": "Acme"}}
    )
    session = verify_session(token, secret=SECRET, now=NOW)
    assert session.company == Company(id="7", name="Acme")


def test_a_session_just_over_is_still_good_and_half_a_minute_later_it_is_not():
    token = issue_session("u1", secret=SECRET, now=NOW, ttl=HOUR)
    verify_session(token, secret=SECRET, now=NOW + HOUR + timedelta(seconds=29))
    with pytest.raises(Unauthenticated):
        verify_session(token, secret=SECRET, now=NOW + HOUR + timedelta(seconds=31))


BAD = {
    "empty": "",
    "not a token": "abc.def",
    "none": jwt.encode(claims(), "", algorithm="none"),
    "other secret": signed(claims(), "another-secret-of-more-than-32-bytes!"),
    "other algorithm": signed(claims(), SECRET * 2, "HS512"),
    "no exp": signed({"sub": "u1"}),
    "no sub": signed({"exp": claims()["exp"]}),
    "expired": signed(claims(exp=int((NOW - HOUR).timestamp()))),
    "exp is text": signed(claims()) + "x",
    "not yet": signed(claims(nbf=int((NOW + HOUR).timestamp()))),
    "empty sub": signed(claims(sub="")),
    "sub with a line break": signed(claims(sub="u1\nu2")),
    "unknown role": signed(claims(role="root")),
    "company is a number": signed(claims(company=7)),
    "name is an object": signed(claims(name={"$gt": ""})),
    "critical header": signed(claims(), headers={"crit": ["x"], "x": 1}),
    "huge": "a" * 10_000,
    "trailing part": signed(claims()) + ".x",
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
def test_bad_tokens_get_one_and_the_same_refusal(token: str):
    with pytest.raises(Unauthenticated) as refusal:
        verify_session(token, secret=SECRET, now=NOW)
    assert (refusal.value.code, refusal.value.detail) == ("unauthenticated", "Please sign in")
