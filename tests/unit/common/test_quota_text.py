"""What counts as a quota when people and forms write it, and what is refused instead of guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.quota_text import QUOTA_MAX, NotAQuota, read_quota


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("50000", 50_000),
        (" 50000 ", 50_000),
        ("0", 0),
        ("007", 7),
        ("50000.0", 50_000),
        ("50000.00", 50_000),
        ("50 000", 50_000),
        ("50\u00a0000", 50_000),
        ("50\u202f000", 50_000),
        ("50\u2009000.00", 50_000),
        ("50,000", 50_000),
        ("50,000.00", 50_000),
        ("1,234,567", 1_234_567),
        ("1'234'567", 1_234_567),
        ("1\u2019234\u2019567", 1_234_567),
        (str(QUOTA_MAX), QUOTA_MAX),
        ("", None),
        ("   ", None),
        ("\u00a0", None),
        (None, None),
        (50_000, 50_000),
        (50_000.0, 50_000),
        (0, 0),
    ],
)
def test_what_is_read(text, quota):
    assert read_quota(text) == quota


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-5", "negative"),
        ("- 5,000", "negative"),
        ("\u22125", "negative"),
        (-1, "negative"),
        (-0.5, "negative"),
        ("50.5", "not_whole"),
        ("50000.01", "not_whole"),
        (1.5, "not_whole"),
        ("50.000", "ambiguous"),
        ("1.234.567", "ambiguous"),
        ("9007199254740993", "too_large"),
        ("9" * 40, "too_large"),
        (2**53 + 2, "too_large"),
        (float("inf"), "too_large"),
        (float("nan"), "not_a_number"),
        ("NaN", "not_a_number"),
        ("Infinity", "not_a_number"),
        ("1e400", "not_a_number"),
        ("5e4", "not_a_number"),
        ("0x10", "not_a_number"),
        ("+5", "not_a_number"),
        ("$500", "not_a_number"),
        ("500 EUR", "not_a_number"),
        ("50,00", "not_a_number"),
        ("50,000,00", "not_a_number"),
        ("50.000,00", "not_a_number"),
        ("50 000,000", "not_a_number"),
        ("5000,000", "not_a_number"),
        ("1 2", "not_a_number"),
        ("\u0665\u0660", "not_a_number"),
        ("\uff15\uff10", "not_a_number"),
        ("fifty", "not_a_number"),
        ("50000\x00", "not_a_number"),
        (True, "not_a_number"),
        ({"$gt": ""}, "not_a_number"),
        ([5], "not_a_number"),
    ],
)
def test_what_is_refused(text, problem):
    with pytest.raises(NotAQuota) as refused:
        read_quota(text)
    assert refused.value.problem == problem


@given(st.integers(0, QUOTA_MAX), st.sampled_from(["", " ", ",", "'", "\u00a0", "\u202f"]), st.booleans())
def test_every_quota_is_read_back_however_it_is_grouped(quota, separator, fraction):
    written = f"{quota:,}".replace(",", separator) + (".00" if fraction else "")
    assert read_quota(written) == quota


@given(st.text(max_size=30))
def test_any_text_is_a_quota_nothing_or_refused(text):
    try:
        quota = read_quota(text)
    except NotAQuota:
        return
    assert quota is None or 0 <= quota <= QUOTA_MAX
    if quota is not None:
        assert str(quota) in "".join(character for character in text if character in "0123456789")


@given(st.text(alphabet="0123456789.,' -", max_size=12))
def test_only_digits_ever_make_the_number(text):
    try:
        quota = read_quota(text)
    except NotAQuota:
        return
    if quota is not None:
        digits = "".join(character for character in text.partition(".")[0] if character.isdigit())
        assert quota == int(digits)
