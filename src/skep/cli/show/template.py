"""Reading Go's templates, as far as ``--format`` needs them.

Known: fields and indexed fields, variables, pipelines, literals, parentheses, ``if``/``else if``/
``else``, ``range``, ``with``, comments and trimming. Refused by name: ``define``, ``template``,
``block``, ``break``, ``continue``. Source: Go's text/template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from skep.cli.show.functions import FUNCTIONS
from skep.model.errors import Invalid

_ACTION = re.compile(r"\{\{(-(?=\s))?\s*(/\*.*?\*/|(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|.)*?)\s*"
                     r"((?<=\s)-)?\}\}", re.DOTALL)  # fmt: skip
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)
    |(?P<number>[+-]?\d+(?:\.\d+)?)
    |(?P<variable>\$\w*)
    |(?P<field>\.\w+)
    |(?P<dot>\.)
    |(?P<word>\w+)
    |(?P<mark>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)
_REFUSED = {"define", "template", "block", "break", "continue"}
_WORDS = {"true": True, "false": False, "nil": None}


class Operand(msgspec.Struct, frozen=True):
    """Something with a value: a literal, ".", a variable, a function's name or a pipeline; then
    the fields that are taken of it."""

    kind: str
    value: Any = None
    path: tuple[str, ...] = ()


class Pipeline(msgspec.Struct, frozen=True):
    """Commands, each given the last one's value; and the variables that take the result."""

    commands: tuple[tuple[Operand, ...], ...]
    variables: tuple[str, ...] = ()
    source: str = ""


class Branch(msgspec.Struct, frozen=True):
    """``if``, ``with`` or ``range``: a pipeline, a body, and what stands after ``else``."""

    kind: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


Node: TypeAlias = str | Pipeline | Branch


def parse(text: str) -> tuple[Node, ...]:
    """The nodes of a template. Raises `Invalid`."""
    pieces = _pieces(text)
    nodes, end = _block(pieces)
    if end:
        raise _fault(f"unexpected {{{{{end}}}}}")
    return nodes


def _fault(reason: str) -> Invalid:
    return Invalid(f"template parsing error: template: :1: {reason}")


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Texts and actions in turn; true for actions. White space is trimmed as their hyphens say."""
    place, trim = 0, False
    for action in _ACTION.finditer(text):
        before = text[place : action.start()]
        before = before.lstrip() if trim else before
        before = before.rstrip() if action[1] else before
        if before:
            yield False, before
        place, trim = action.end(), bool(action[3])
        if not action[2].startswith("/*"):
            yield True, action[2]
    rest = text[place:].lstrip() if trim else text[place:]
    if "{{" in rest:
        raise _fault("unclosed action")
    if rest:
        yield False, rest


def _block(pieces: Iterator[tuple[bool, str]]) -> tuple[tuple[Node, ...], str]:
    """Nodes up to ``else`` or ``end``, and that word with what follows it."""
    nodes: list[Node] = []
    for is_action, text in pieces:
        if not is_action:
            nodes.append(text)
            continue
        word, _, rest = text.partition(" ")
        if word in ("end", "else"):
            return tuple(nodes), text
        if word in _REFUSED:
            raise Invalid(f'templates with "{word}" are not understood by skep')
        if word in ("if", "with", "range"):
            nodes.append(_branch(word, rest, pieces))
        else:
            nodes.append(_Reader(text).whole())
    return tuple(nodes), ""


def _branch(kind: str, condition: str, pieces: Iterator[tuple[bool, str]]) -> Branch:
    pipeline = _Reader(condition).whole()
    body, end = _block(pieces)
    if not end:
        raise _fault("unexpected EOF")
    otherwise: tuple[Node, ...] = ()
    rest = end.removeprefix("else").strip()
    if end != "end" and rest:
        nested, _, inner = rest.partition(" ")
        if nested not in ("if", "with"):
            raise _fault(f"unexpected <{rest}> in else")
        otherwise = (_branch(nested, inner, pieces),)
    elif end != "end":
        otherwise, last = _block(pieces)
        if last != "end":
            raise _fault("unexpected EOF" if not last else f"unexpected {{{{{last}}}}}")
    return Branch(kind, pipeline, body, otherwise)


class _Reader:
    """Reads one action."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._place = 0

    def whole(self) -> Pipeline:
        if not self._tokens:
            raise _fault("missing value for command")
        pipeline = self._pipeline()
        if self._place < len(self._tokens):
            raise _fault(f"unexpected {self._tokens[self._place][1]!r} in operand")
        return pipeline

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        place = self._place + ahead
        return self._tokens[place] if place < len(self._tokens) else ("end", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._place += 1
        return token

    def _pipeline(self) -> Pipeline:
        variables = self._variables()
        commands = [self._command()]
        while self._skip() and self._peek()[1] == "|":
            self._next()
            commands.append(self._command())
        return Pipeline(tuple(commands), variables, self._text)

    def _variables(self) -> tuple[str, ...]:
        marks = [token for token in self._tokens[self._place :] if token[0] != "space"]
        names = []
        for place, (kind, text) in enumerate(marks):
            if place % 2 == 0 and kind == "variable":
                names.append(text)
            elif place % 2 and text in (":=", "="):
                while self._next()[1] != text:
                    pass
                return tuple(names)
            elif not (place % 2 and text == ","):
                break
        return ()

    def _skip(self) -> bool:
        while self._peek()[0] == "space":
            self._next()
        return True

    def _command(self) -> tuple[Operand, ...]:
        operands = []
        while self._skip() and self._peek()[1] not in ("|", ")") and self._peek()[0] != "end":
            operands.append(self._operand())
        if not operands:
            raise _fault("missing value for command")
        return tuple(operands)

    def _operand(self) -> Operand:
        kind, text = self._next()
        if kind == "string":
            return Operand("literal", text[1:-1] if text[0] == "`" else json.loads(text))
        if kind == "number":
            return Operand("literal", float(text) if "." in text else int(text))
        if kind == "field":
            return Operand("dot", None, (text[1:], *self._path()))
        if kind == "dot":
            return Operand("dot")
        if kind == "variable":
            return Operand("variable", text, self._path())
        if kind == "word" and text in _WORDS:
            return Operand("literal", _WORDS[text])
        if kind == "word":
            if text not in FUNCTIONS:
                raise _fault(f'function "{text}" not defined')
            return Operand("function", text)
        if text == "(":
            inner = self._pipeline()
            if self._skip() and self._next()[1] != ")":
                raise _fault("unclosed left paren")
            return Operand("pipeline", inner, self._path())
        raise _fault(f"unexpected {text!r} in command")

    def _path(self) -> tuple[str, ...]:
        names = []
        while self._peek()[0] == "field":
            names.append(self._next()[1][1:])
        return tuple(names)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise _fault(f"unexpected {text[place]!r} in command")
        yield found.lastgroup, found[0]
        place = found.end()
