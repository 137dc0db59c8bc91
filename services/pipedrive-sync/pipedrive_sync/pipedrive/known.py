"""What we know about the account: whose token it is, and the keys of our fields in it."""

import asyncio
from collections.abc import Mapping

from common.log import get_logger
from pipedrive_sync.domain.custom_fields import FieldKeys
from pipedrive_sync.domain.webhook import Ourselves
from pipedrive_sync.pipedrive.client import Account, Field, PipedriveClient
from pipedrive_sync.store.cursors import Cursors

log = get_logger()

_FIELDS = "fields"
_OURSELVES = "ourselves"
FIELD_TYPES: Mapping[str, frozenset[str]] = {
    "quota": frozenset({"double", "monetary", "varchar", "varchar_auto", "text"}),
    "used": frozenset({"double"}),
    "balance": frozenset({"double"}),
    "user_id": frozenset({"varchar", "varchar_auto", "text"}),
}
"""Types that each of our fields may have; the first use of a field is by name, later ones by its key."""


class Known:
    """Starts from what was kept, so that quotas go on while Pipedrive cannot be asked."""

    def __init__(self, cursors: Cursors, names: Mapping[str, str], *, can_ask: bool) -> None:
        self.keys = FieldKeys()
        self.ourselves = Ourselves()
        self.problems: list[str] = []
        """What is wrong with the account, in plain words."""
        self.compared = asyncio.Event()
        """Set once the kept keys were compared with the account's fields."""
        self._unusable: frozenset[str] = frozenset()
        """Kept keys whose field is gone or has another type now."""
        self._cursors = cursors
        self._names = names
        self._can_ask = can_ask

    @property
    def is_incomplete(self) -> bool:
        """Tell whether the quota's field is not known yet, but may become known."""
        return self._can_ask and self.keys.quota is None

    async def load(self) -> None:
        """Take what is kept: `setup` may have written it in another process. Costs nothing at Pipedrive."""
        stored = FieldKeys.model_validate(await self._cursors.read(_FIELDS)).model_dump()
        self.keys = FieldKeys.model_validate(
            {role: None if key in self._unusable else key for role, key in stored.items()}
        )
        kept = await self._cursors.read(_OURSELVES)
        self.ourselves = Ourselves(company_id=kept.get("company_id"), user_id=kept.get("user_id"))

    async def refresh(self, client: PipedriveClient) -> None:
        """Ask Pipedrive. A field that is gone stops what needs it; another one is never taken instead."""
        await self.recognise(await client.account())
        await self.compare(await client.fields())

    async def recognise(self, account: Account) -> None:
        self.ourselves = Ourselves(company_id=account.company_id, user_id=account.user_id)
        await self._cursors.write(_OURSELVES, {"company_id": account.company_id, "user_id": account.user_id})

    async def compare(self, fields: list[Field]) -> None:
        """Take the kept keys that still exist, and find by name what was never found before."""
        kept = FieldKeys.model_validate(await self._cursors.read(_FIELDS)).model_dump()
        by_key = {field.key: field for field in fields}
        keys: dict[str, str | None] = {}
        problems: list[str] = []
        for role, name in self._names.items():
            key = kept[role] or _only_one_named(name, fields)
            field = by_key.get(key or "")
            keys[role] = field.key if field else None
            if field is None and kept[role]:
                problems.append(f'the field "{name}" was deleted in Pipedrive: run setup to make a new one')
            elif field is None:
                problems.append(f'the field "{name}" is not set up: run setup')
            elif field.type not in FIELD_TYPES[role]:
                problems.append(f'the field "{name}" has the type {field.type}')
                keys[role] = None
        self._unusable = frozenset(key for key in kept.values() if key) - set(keys.values())
        self.keys = FieldKeys.model_validate(keys)
        self.problems = problems
        for problem in problems:
            log.error("pipedrive_field", problem=problem)
        await self.keep({role: key for role, key in keys.items() if key is not None})
        self.compared.set()

    async def keep(self, keys: Mapping[str, str]) -> None:
        if keys:
            await self._cursors.write(_FIELDS, dict(keys))
            self.keys = self.keys.model_copy(update=dict(keys))


def _only_one_named(name: str, fields: list[Field]) -> str | None:
    found = [field.key for field in fields if field.name == name]
    return found[0] if len(found) == 1 else None
