"""Whose quota a person's is. More than one answer, or none, is no answer: a person then decides."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pipedrive_sync.domain.notice import Subject

Unmatched = Literal["unknown_person", "several_users", "person_of_another_user", "user_of_another_person"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What is known about a subject.

    `user_of_person`: the user that the person is linked to. `person_of_user`: the person that the user
    in question is linked to, by user id. `users_by_email`: users with one of the subject's addresses.
    """

    user_of_person: str | None
    person_of_user: dict[str, int]
    users_by_email: Collection[str]


@dataclass(frozen=True, slots=True)
class Matched:
    user_id: str


def match(subject: Subject, links: Links) -> Matched | Unmatched:
    """Decide by what the subject says itself, then by the link that was made before, then by e-mail."""
    user_id = subject.user_ref or links.user_of_person
    if user_id is None:
        users = set(links.users_by_email)
        if len(users) != 1:
            return "several_users" if users else "unknown_person"
        (user_id,) = users
    if subject.person_id is None:
        return Matched(user_id)
    other_person = links.person_of_user.get(user_id)
    if other_person is not None and other_person != subject.person_id:
        return "user_of_another_person"
    return Matched(user_id)
