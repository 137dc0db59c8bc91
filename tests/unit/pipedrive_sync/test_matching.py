"""Whose quota it is: one answer, or a person decides."""

from pipedrive_sync.domain.matching import Links, Matched, match
from pipedrive_sync.domain.notice import Subject


def links(user_of_person=None, person_of_user=None, users_by_email=()):
    return Links(
        user_of_person=user_of_person, person_of_user=person_of_user or {}, users_by_email=users_by_email
    )


def test_what_the_record_says_comes_before_the_link_and_the_link_before_the_address():
    said = Subject(person_id=8, user_ref="u1")
    assert match(said, links("u2", users_by_email={"u3"})) == Matched("u1")
    assert match(Subject(person_id=8), links("u2", users_by_email={"u3"})) == Matched("u2")
    assert match(Subject(person_id=8), links(users_by_email={"u3"})) == Matched("u3")


def test_nobody_and_more_than_one_are_no_answer():
    assert match(Subject(person_id=8), links()) == "unknown_person"
    assert match(Subject(person_id=8), links(users_by_email={"u1", "u2"})) == "several_users"


def test_a_user_who_is_another_person_already_is_not_taken_from_them():
    taken = {"u1": 7}
    assert match(Subject(person_id=8, user_ref="u1"), links(person_of_user=taken)) == "user_of_another_person"
    assert (
        match(Subject(person_id=8), links(person_of_user=taken, users_by_email={"u1"}))
        == "user_of_another_person"
    )
    assert match(Subject(person_id=7), links("u1", person_of_user=taken)) == Matched("u1")


def test_a_call_that_names_only_the_user_needs_no_person():
    assert match(Subject(user_ref="u1"), links(person_of_user={"u1": 7})) == Matched("u1")
