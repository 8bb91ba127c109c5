"""Keys with values: labels, environment, options, and files of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from skep.cli.syntax.textfile import text_of
from skep.model.errors import Invalid

Lookup = Callable[[str], str | None]


def map_entry(word: str) -> tuple[str, str]:
    """``key=value``; a key alone has the value ""."""
    key, _, value = word.partition("=")
    return key, value


def environment_word(word: str) -> str:
    """A variable: ``A=1``, or ``A`` to take it from where skep runs. Not without a name."""
    if not word.partition("=")[0]:
        raise Invalid(f"invalid environment variable: {word}")
    return word


def resolved(words: Iterable[str], lookup: Lookup) -> list[str]:
    """Variables with values: those without take theirs from ``lookup``, or stay as they are."""
    found = []
    for word in words:
        value = None if "=" in word else lookup(word)
        found.append(word if value is None else f"{word}={value}")
    return found


def deduplicated(words: Iterable[str]) -> list[str]:
    """The last of each variable, in the order of those."""
    last: dict[str, str] = {}
    for word in words:
        key = word.partition("=")[0]
        if last.get(key) != word:
            last.pop(key, None)
        last[key] = word
    return list(last.values())


def read_variables(path: str, lookup: Lookup) -> list[str]:
    """A ``--env-file``: a variable a line, # for comments. A name alone that is not known here is
    left out. Raises `Invalid` for what is no variable, `OSError` as opening does."""
    found = []
    for number, line in enumerate(_lines(path), 1):
        name, given, value = line.partition("=")
        if not name or any(mark in name for mark in " \t"):
            why = "no variable name on line" if not name else "contains whitespaces"
            raise Invalid(f"invalid env file ({path}): {_complaint(why, name, number)}")
        known = value if given else lookup(name)
        if known is not None:
            found.append(f"{name}={known}")
    return found


def _complaint(why: str, name: str, number: int) -> str:
    return f"variable '{name}' {why}" if name else f"{why} {number}"


def read_words(path: str) -> list[str]:
    """A ``--label-file``: a label a line."""
    return list(_lines(path))


def _lines(path: str) -> Iterable[str]:
    text = text_of(path, encoding="utf-8-sig")
    for line in text.splitlines():
        kept = line.lstrip()
        if kept and not kept.startswith("#"):
            yield kept
