"""The HTTP API is public: its description is kept in `contracts/openapi`. The app's types are made of it."""

from pathlib import Path

from gateway.contract import NAME, snapshot

CONTRACT = Path(__file__).parents[3] / "contracts" / "openapi" / NAME


def test_the_description_is_current():
    how = (
        "the API changed: run `python -m gateway.contract contracts/openapi`, "
        "then `npm --prefix app run types`"
    )
    assert CONTRACT.read_text(encoding="utf-8") == snapshot(), how
