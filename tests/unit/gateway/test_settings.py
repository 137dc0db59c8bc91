import pytest
from pydantic import ValidationError

from common.settings import DEVELOPMENT_SECRET
from gateway.settings import Settings


def settings(**values: object) -> Settings:
    return Settings.model_validate(values)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch):
    for name in ("SHARED_SECRET", "ADDRESS", "PORT", "DIST_URL", "LOGIN_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_the_development_secret_works_on_loopback(address: str):
    assert settings(address=address).shared_secret == DEVELOPMENT_SECRET


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "chat.example"])
def test_the_development_secret_works_nowhere_else(address: str):
    with pytest.raises(ValidationError, match="SHARED_SECRET must be set"):
        settings(address=address)


@pytest.mark.parametrize("host", ["chat.example", "10.0.0.1:8080", "[2001:db8::1]"])
def test_the_development_secret_works_at_no_public_address_of_what_listens_on_loopback(host: str):
    with pytest.raises(ValidationError, match="SHARED_SECRET must be set"):
        settings(address="127.0.0.1", dist_url=f"https://{host}/")
    assert settings(dist_url=f"https://{host}/", shared_secret="x" * 32)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:9000"])
def test_the_development_secret_works_at_a_public_address_on_loopback(host: str):
    assert settings(dist_url=f"http://{host}").shared_secret == DEVELOPMENT_SECRET


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_secret_under_32_bytes_works_nowhere(address: str):
    with pytest.raises(ValidationError, match="at least 32 bytes"):
        settings(address=address, shared_secret="x" * 31)
    assert settings(address=address, shared_secret="x" * 32)


def test_the_public_origin_follows_the_port_until_it_is_named():
    assert settings(port=9000).public_origin == "http://127.0.0.1:9000"
    named = settings(dist_url="https://Chat.Example:8443/app/", shared_secret="x" * 32)
    assert (named.public_origin, named.is_https) == ("https://chat.example:8443", True)


def test_people_sign_in_at_the_public_origin_until_a_place_is_named():
    assert settings().sign_in_url == "http://127.0.0.1:8080"
    assert (
        settings(login_url="https://crm.example/login?to=chat").sign_in_url
        == "https://crm.example/login?to=chat"
    )


@pytest.mark.parametrize("url", ["chat.example", "//chat.example", "javascript:alert(1)", "https://", "*"])
@pytest.mark.parametrize("name", ["dist_url", "login_url", "int_url"])
def test_what_is_no_url_is_refused(name: str, url: str):
    with pytest.raises(ValidationError):
        settings(**{name: url})


def test_the_limits_have_the_defaults_of_the_contract():
    defaults = settings()
    assert defaults.message_bytes_max == 32 * 1024
    assert defaults.body_bytes_max == 64 * 1024
    assert defaults.int_body_bytes_max == 1024 * 1024
    assert defaults.url_bytes_max == 8 * 1024
    assert defaults.runs_per_user == 3
    assert defaults.messages_per_minute == 20
    assert defaults.streams_per_user == 10
    assert defaults.send_timeout_s == 30
