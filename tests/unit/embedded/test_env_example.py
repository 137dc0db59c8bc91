import re
from pathlib import Path

from pydantic_settings import BaseSettings

from chat_worker.settings import Settings as ChatWorkerSettings
from gateway.settings import Settings as GatewaySettings
from pipedrive_sync.settings import Settings as PipedriveSettings
from usage_ledger.settings import Settings as UsageLedgerSettings

EXAMPLE = Path(__file__).parents[3] / ".env.example"
OF_MAKE_RUN = {"PORT", "DATA_DIR", "WORKERS", "AMQP_MANAGEMENT_URL"}
NOT_FOR_PEOPLE = {"HEALTH_PORT", "CRASH_AT"}
SETTINGS: tuple[type[BaseSettings], ...] = (
    GatewaySettings,
    ChatWorkerSettings,
    UsageLedgerSettings,
    PipedriveSettings,
)


def test_the_example_lists_every_setting_once_and_no_other():
    known = {name.upper() for settings in SETTINGS for name in settings.model_fields}
    listed = re.findall(r"^#([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted((known | OF_MAKE_RUN) - NOT_FOR_PEOPLE)
