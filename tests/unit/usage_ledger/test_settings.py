from datetime import timedelta

import pytest
from pydantic import ValidationError

from usage_ledger.settings import Settings


def test_the_grant_period_is_an_iso_8601_duration(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOKEN_GRANT_PERIOD", "P30DT12H")
    assert Settings().terms.grant_period == timedelta(days=30, hours=12)


@pytest.mark.parametrize(
    ("name", "value"),
    [("TOKEN_GRANT_PERIOD", "-P1D"), ("TOKEN_BALANCE", "-1"), ("HOLD_TTL_S", "300"), ("TOKEN_GRANT", "1.5")],
)
def test_what_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()
