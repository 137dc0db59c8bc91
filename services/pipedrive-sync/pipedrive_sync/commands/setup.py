"""`python -m pipedrive_sync setup`: makes the fields and the webhook that are missing, and nothing twice."""

from collections.abc import AsyncIterator, Mapping

from pipedrive_sync.jobs.supervise import SuperviseWebhook
from pipedrive_sync.pipedrive.client import PipedriveClient
from pipedrive_sync.pipedrive.known import Known

_TYPES = {"quota": "double", "used": "double", "balance": "double", "user_id": "varchar"}


class Setup:
    """Yields what it did, line by line. Raises PipedriveAway or PipedriveRefused."""

    def __init__(
        self,
        client: PipedriveClient,
        known: Known,
        names: Mapping[str, str],
        supervise: SuperviseWebhook | None,
    ) -> None:
        self._client = client
        self._known = known
        self._names = names
        self._supervise = supervise

    async def run(self) -> AsyncIterator[str]:
        account = await self._client.account()
        await self._known.recognise(account)
        yield f"The token belongs to {account.user_name} of {account.company_name}."
        if not account.is_admin:
            yield "It is not an administrator's: Pipedrive will refuse the fields or the webhook."
        await self._known.compare(await self._client.fields())
        for role, name in self._names.items():
            if getattr(self._known.keys, role) is not None:
                yield f'The field "{name}" is there.'
                continue
            field = await self._client.add_field(name, _TYPES[role])
            await self._known.keep({role: field.key})
            yield f'The field "{name}" was made.'
        self._known.problems = []
        if self._supervise is None:
            yield "No webhook: set DIST_URL, INT_USER and INT_PASSWORD, then run this again."
            return
        for line in await self._supervise.once() or ["The webhook is there and works."]:
            yield line[0].upper() + line[1:].rstrip(".") + "."
