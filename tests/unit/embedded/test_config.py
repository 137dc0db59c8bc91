from pathlib import Path

import pytest

from common.settings import DEVELOPMENT_SECRET
from embedded.config import BadSetting, read_config


def test_the_environment_counts_above_the_file_and_the_file_above_the_defaults(tmp_path: Path):
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=9001\nWORKERS=3\n")
    config = read_config({"PORT": "9002"}, env_file)
    assert (config.port, config.workers) == (9002, 3)
    assert config.settings["SHARED_SECRET"] == DEVELOPMENT_SECRET
    assert config.settings["ADDRESS"] == "127.0.0.1"


def test_an_empty_value_counts_as_not_set(tmp_path: Path):
    env_file = tmp_path / ".env"
    env_file.write_text("OAI_TOKEN=\nDB_URL=mongodb://given/chat\n")
    config = read_config({"DB_URL": "", "PORT": ""}, env_file)
    assert config.given("OAI_TOKEN") is None
    assert config.given("DB_URL") == "mongodb://given/chat"
    assert config.port == 8080


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "0"), ("PORT", "65536"), ("PORT", "http"), ("WORKERS", "0"), ("DRAIN_S", "-1")],
)
def test_a_number_that_cannot_be_is_refused_by_name(tmp_path: Path, name: str, value: str):
    with pytest.raises(BadSetting, match=name):
        read_config({name: value}, tmp_path / ".env")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080/"),
        ("0.0.0.0", "http://127.0.0.1:8080/"),
        ("::", "http://127.0.0.1:8080/"),
        ("::1", "http://[::1]:8080/"),
        ("192.0.2.7", "http://192.0.2.7:8080/"),
    ],
)
def test_the_app_is_reached_wherever_it_listens(tmp_path: Path, address: str, url: str):
    assert read_config({"ADDRESS": address}, tmp_path / ".env").url == url
