import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from chat_worker.settings import Settings as ChatWorkerSettings
from embedded.config import read_config
from gateway.settings import Settings as GatewaySettings
from pipedrive_sync.settings import Settings as PipedriveSettings
from usage_ledger.settings import Settings as UsageLedgerSettings

EXAMPLE = Path(__file__).parents[3] / ".env.example"
LISTED = re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
OF_MAKE_RUN = {"DATA_DIR", "WORKERS"}
MAKE_RUN_DECIDES = {"ADDRESS", "PORT", "DRAIN_S", *OF_MAKE_RUN}
ONLY_TO_SHOW_THE_FORM = {"DB_URL", "AMQP_URL", "AMQP_MANAGEMENT_URL", "APP_DIR"}
NOT_FOR_PEOPLE = {"HEALTH_PORT", "CRASH_AT"}
SETTINGS: tuple[type[BaseSettings], ...] = (
    GatewaySettings,
    ChatWorkerSettings,
    UsageLedgerSettings,
    PipedriveSettings,
)


def test_the_example_lists_every_setting_once_and_no_other():
    known = {name.upper() for settings in SETTINGS for name in settings.model_fields}
    assert sorted(name for name, _ in LISTED) == sorted((known | OF_MAKE_RUN) - NOT_FOR_PEOPLE)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.__module__)
def test_a_value_that_is_shown_is_the_default(settings: type[BaseSettings]):
    shown = {
        name.lower(): value
        for name, value in LISTED
        if value and name not in MAKE_RUN_DECIDES | ONLY_TO_SHOW_THE_FORM
    }
    read = settings.model_validate(shown)
    fields = {name: field for name, field in settings.model_fields.items() if name in shown}
    assert {name: getattr(read, name) for name in fields} == {n: field.default for n, field in fields.items()}


def test_what_make_run_decides_is_shown_as_it_decides_it(tmp_path: Path):
    decided = read_config({}, tmp_path / ".env").settings
    assert {name: value for name, value in LISTED if name in MAKE_RUN_DECIDES} == {
        name: decided[name] for name in MAKE_RUN_DECIDES
    }
