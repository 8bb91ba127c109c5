"""The words of a command line, sorted into options and arguments as docker's clients do it.

The rules are those of Go's pflag: ``-itd``, ``-p80:80``, ``--detach=false``, a switch never takes
the next word, ``--`` ends the options, and where a command follows (run, exec) so does the first
argument.
What comes out is plain enough for argparse: ``--name=value`` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from skep.model.errors import Invalid


class Spelling(msgspec.Struct, frozen=True):
    """How an option is written: ``--name``, ``-short``; a switch needs no value."""

    name: str
    short: str = ""
    switch: bool = False


class Sorted(msgspec.Struct, frozen=True):
    """Options in order, each ``--name=value``, and what is left."""

    options: tuple[str, ...]
    arguments: tuple[str, ...]


def sort_words(
    words: Sequence[str], spellings: Iterable[Spelling], *, interspersed: bool = True
) -> Sorted:
    """Sort them. Raises `Invalid` in pflag's words for an option unknown or without value."""
    reader = _Reader(list(words), tuple(spellings))
    while reader.words:
        word = reader.words.pop(0)
        if word == "--":
            reader.arguments += reader.words
            break
        if word.startswith("--"):
            reader.long(word)
        elif word.startswith("-") and word != "-":
            reader.short(word)
        elif interspersed:
            reader.arguments.append(word)
        else:
            reader.arguments += [word, *reader.words]
            break
    return Sorted(tuple(reader.options), tuple(reader.arguments))


class _Reader:
    def __init__(self, words: list[str], spellings: tuple[Spelling, ...]) -> None:
        self.words = words
        self.options: list[str] = []
        self.arguments: list[str] = []
        self._long = {each.name: each for each in spellings}
        self._short = {each.short: each for each in spellings if each.short}

    def long(self, word: str) -> None:
        name, given, value = word[2:].partition("=")
        spelling = self._long.get(name)
        if spelling is None:
            raise Invalid(f"unknown flag: --{name}")
        if not given:
            value = "true" if spelling.switch else self._next(f"--{name}")
        self.options.append(f"--{name}={value}")

    def short(self, word: str) -> None:
        rest = word[1:]
        while rest:
            letter, rest = rest[0], rest[1:]
            spelling = self._short.get(letter)
            if spelling is None:
                raise Invalid(f"unknown shorthand flag: '{letter}' in {word}")
            if rest.startswith("="):
                value, rest = rest[1:], ""
            elif spelling.switch:
                value = "true"
            elif rest:
                value, rest = rest, ""
            else:
                value = self._next(f"'{letter}' in {word}")
            self.options.append(f"--{spelling.name}={value}")

    def _next(self, wanted: str) -> str:
        if not self.words:
            raise Invalid(f"flag needs an argument: {wanted}")
        return self.words.pop(0)
