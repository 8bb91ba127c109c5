"""Options of a command as a table: name, kind of value, help; read by argparse.

A kind says how a value is read. Readers are pure functions that raise `Invalid` with a reason; here
the reason gets docker's frame: ``invalid argument "x" for "-n, --last" flag: …``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from skep.cli.parser import Parser
from skep.cli.syntax.numbers import boolean, decimal, integer, natural
from skep.cli.syntax.quantities import cpus, duration, memory
from skep.cli.words import Spelling, sort_words
from skep.model.errors import Invalid


class Kind(msgspec.Struct, frozen=True):
    """A kind of value: the word that help shows, its reader, and whether it may be given often.

    With ``spread`` the reader answers a list, whose items are collected.
    """

    word: str
    read: Callable[[str], Any]
    many: bool = False
    spread: bool = False


def csv_fields(value: str) -> list[str]:
    """The fields of one line of comma-separated values."""
    return next(csv.reader([value]), []) if value else []


SWITCH = Kind("", boolean)
TEXT = Kind("string", str)
LIST = Kind("list", str, many=True)
STRINGS = Kind("strings", csv_fields, many=True, spread=True)
INTEGER = Kind("int", integer)
NATURAL = Kind("uint", natural)
FRACTION = Kind("float", decimal)
DURATION = Kind("duration", duration)
BYTES = Kind("bytes", memory)
CPUS = Kind("decimal", cpus)


class Flag(msgspec.Struct, frozen=True):
    """One option."""

    name: str
    help: str
    kind: Kind = TEXT
    short: str = ""

    @property
    def spelling(self) -> Spelling:
        """How it is written."""
        return Spelling(self.name, self.short, self.kind is SWITCH)

    @property
    def shown(self) -> str:
        """How complaints and help name it: ``-n, --last``."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"

    def read(self, value: str) -> Any:
        """The value as its kind reads it. Raises `Invalid` in docker's frame."""
        try:
            return self.kind.read(value)
        except Invalid as reason:
            raise Invalid(
                f'invalid argument "{value}" for "{self.shown}" flag: {reason}'
            ) from reason


class Options:
    """What was given, by option; everything else is None, [] or False as asked for."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given

    def has(self, *names: str) -> bool:
        """Whether any of these options was given."""
        return any(name in self._given for name in names)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an option, or the default."""
        return self._given.get(name, default)

    def text(self, name: str, default: str = "") -> str:
        """The value of an option that takes text."""
        return str(self._given.get(name, default))

    def switch(self, name: str) -> bool:
        """Whether a switch is on."""
        return bool(self._given.get(name, False))

    def all(self, name: str) -> list[Any]:
        """All values of an option that may be given often."""
        return list(self._given.get(name, ()))

    @property
    def names(self) -> tuple[str, ...]:
        """The options that were given."""
        return tuple(self._given)


def read_options(
    words: Sequence[str], flags: Sequence[Flag], *, interspersed: bool = True
) -> tuple[Options, tuple[str, ...]]:
    """Options and arguments of a command line. Raises `Invalid` as pflag complains."""
    done = sort_words(words, [flag.spelling for flag in flags], interspersed=interspersed)
    found = vars(options_parser(flags).parse_args(done.options))
    given = {name: value for name, value in found.items() if value is not None}
    for flag in flags:
        if flag.kind.spread and flag.name in given:
            given[flag.name] = [item for items in given[flag.name] for item in items]
    return Options(given), done.arguments


def options_parser(flags: Sequence[Flag]) -> Parser:
    """The argparse parser of a table of options."""
    parser = Parser(add_help=False, formatter_class=_Layout, usage=argparse.SUPPRESS)
    for flag in flags:
        parser.add_argument(
            f"--{flag.name}",
            *([f"-{flag.short}"] if flag.short else []),
            dest=flag.name,
            type=flag.read,
            action="append" if flag.kind.many else "store",
            metavar=flag.kind.word,
            help=flag.help.replace("%", "%%"),
        )
    return parser


class _Layout(argparse.HelpFormatter):
    """Options as docker shows them: ``-n, --last int``."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        short = next((word for word in action.option_strings if not word.startswith("--")), "")
        front = f"{short}, " if short else "    "
        return f"{front}--{action.dest} {action.metavar or ''}".rstrip()
