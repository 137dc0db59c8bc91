"""A person that we find gone ourselves: nobody tells then whether it was deleted or merged."""

from datetime import datetime

from pipedrive_sync.domain.notice import PersonGone
from pipedrive_sync.domain.record import gone_version
from pipedrive_sync.store.stores import Stores


async def found_gone(stores: Stores, person_id: int, *, now: datetime) -> PersonGone:
    """Say that a person is gone: merged into the one that asks for its user meanwhile, if there is one."""
    person = await stores.people.find(person_id)
    into: int | None = None
    if person is not None and person.user_id is not None:
        account = (await stores.accounts.find([person.user_id])).get(person.user_id)
        into = await stores.waiting.claimant(person.user_id, email=account.email_key if account else None)
    return PersonGone(person_id=person_id, into=into, version=gone_version(person_id, now), actor="pipedrive")
