"""How accounts are found by name: the ledger stores these words, the dashboard looks for their beginnings."""

import re
import unicodedata

_WORDS_MAX = 40
_WORD_CHARACTERS_MAX = 80
_SORT_NAME_CHARACTERS_MAX = 200
_APART = re.compile(r"[\W_]+")


def normalized(text: str) -> str:
    """Make upper and lower case and accents the same."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in letters if not unicodedata.combining(c)).casefold()


def sort_name(name: str) -> str:
    """Return what a name is put in order by: short enough for the cursor of a page."""
    return normalized(name)[:_SORT_NAME_CHARACTERS_MAX]


def search_words(*texts: str | None) -> list[str]:
    """Return what somebody with these names may be looked for by: words as written, and their parts."""
    words: dict[str, None] = {}
    for text in map(normalized, filter(None, texts)):
        words |= dict.fromkeys((*text.split(), *_APART.split(text)))
    words.pop("", None)
    return [word[:_WORD_CHARACTERS_MAX] for word in words][:_WORDS_MAX]


def searched(text: str) -> list[str]:
    """Return the beginnings of words that somebody looks for; all of them must be found."""
    return [word[:_WORD_CHARACTERS_MAX] for word in normalized(text).split()][:_WORDS_MAX]
