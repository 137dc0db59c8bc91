"""Our four custom fields, and their values: webhooks and the API write the same value differently."""

from typing import Any, cast

from pydantic import BaseModel, ConfigDict


class FieldKeys(BaseModel):
    """The 40-digit keys of our fields; None is a field that the account does not have."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    quota: str | None = None
    used: str | None = None
    balance: str | None = None
    user_id: str | None = None

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(key for key in (self.quota, self.used, self.balance, self.user_id) if key is not None)

    @property
    def figures(self) -> frozenset[str]:
        """The fields that we write."""
        return frozenset(key for key in (self.used, self.balance) if key is not None)


def webhook_value(fields: Any, key: str | None) -> Any:
    """Return a value from a webhook, `{"type": …, "value": …}`; absent and null are both None."""
    found = _mapping(fields).get(key) if key is not None else None
    return _mapping(found).get("value") if isinstance(found, dict) else found


def api_value(fields: Any, key: str | None) -> Any:
    """Return a value as API v2 writes it; an amount of money is an object there too."""
    found = _mapping(fields).get(key) if key is not None else None
    return _mapping(found).get("value") if isinstance(found, dict) else found


def text_of(value: Any) -> str | None:
    """Return a text without its blanks, None if nothing is left or it is none."""
    return value.strip() or None if isinstance(value, str) else None


def emails_of(items: Any) -> tuple[str, ...]:
    """Return e-mail addresses as they are compared, the primary one first."""
    if not isinstance(items, list):
        return ()
    found = [_mapping(item) for item in cast(list[Any], items)]
    found.sort(key=lambda item: item.get("primary") is not True)
    addresses = [email_key(item["value"]) for item in found if isinstance(item.get("value"), str)]
    return tuple(dict.fromkeys(address for address in addresses if address))


def email_key(address: str) -> str:
    return address.strip().lower()


def _mapping(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
