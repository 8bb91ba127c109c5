"""YAML as Go reads and writes it: ``yes`` and ``22:22`` are texts, octal numbers are numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from yaml.representer import BaseRepresenter

from skep.cli.syntax.quantities import show_duration
from skep.model.errors import Invalid

_OLD_BOOLEANS = {word for base in ("y", "yes", "n", "no", "on", "off", "true", "false")
                 for word in (base, base.capitalize(), base.upper())}  # fmt: skip
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*|0[0-7_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)"
                    r"|\.(nan|NaN|NAN)")  # fmt: skip
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([Tt ].*)?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_NO_TEXTS = (_INTEGER, _FLOAT, _DATE, _SEXAGESIMAL)
_WIDE = 1 << 30


class Duration(int):
    """Nanoseconds that are written as a duration."""


class Amount(int):
    """Bytes that are written as a text."""


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    digits = text.lstrip("+-")
    for mark, base in (("0x", 16), ("0o", 8), ("0b", 2), ("0", 8)):
        if digits.startswith(mark) and digits != "0":
            value = int(digits.removeprefix(mark), base)
            return -value if text.startswith("-") else value
    return int(text)


def _text(dumper: BaseRepresenter, value: Any) -> yaml.ScalarNode:
    tag = "tag:yaml.org,2002:str"
    if "\n" in value:
        return dumper.represent_scalar(tag, value, style="|")
    other = value in _OLD_BOOLEANS or value in ("", "~", "null", "Null", "NULL", "<<")
    if other or any(form.fullmatch(value) for form in _NO_TEXTS):
        return dumper.represent_scalar(tag, value, style='"')
    return dumper.represent_scalar(tag, value)


def _duration(dumper: BaseRepresenter, value: Any) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", show_duration(value))


def _amount(dumper: BaseRepresenter, value: Any) -> yaml.ScalarNode:
    return _text(dumper, str(int(value)))


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """By its first letter, what a plain word is if it has a form: YAML 1.2's rules."""
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, form, firsts in (
        ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
        ("null", re.compile(r"~|null|Null|NULL|"), ("~", "n", "N", "")),
        ("int", _INTEGER, "-+0123456789"),
        ("float", _FLOAT, "-+0123456789."),
        ("merge", re.compile(r"<<"), "<"),
    ):
        whole = re.compile(rf"(?:{form.pattern})\Z")
        for first in firsts:
            found.setdefault(first, []).append((f"tag:yaml.org,2002:{tag}", whole))
    return found


class _Loader(yaml.SafeLoader):
    """The safe loader with the rules of YAML 1.2 for what a plain word is."""

    yaml_implicit_resolvers = _resolvers()
    yaml_constructors = {  # noqa: RUF012 - PyYAML's way to have one's own
        **yaml.SafeLoader.yaml_constructors,
        "tag:yaml.org,2002:int": _integer,
    }


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key; quotes are double where a word would not be a text."""

    yaml_implicit_resolvers = _resolvers()
    yaml_representers = {  # noqa: RUF012 - PyYAML's way to have one's own
        **yaml.SafeDumper.yaml_representers,
        str: _text,
        Duration: _duration,
        Amount: _amount,
    }

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def read(text: str) -> dict[str, Any]:
    """The mapping that a file is. Raises `Invalid` if it is none."""
    try:
        found = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as fault:
        raise Invalid(f"yaml: {_sentence(fault)}") from fault
    if not isinstance(found, dict):
        raise Invalid("top-level object must be a mapping")
    _check_keys(found, "")
    return found


def _sentence(fault: yaml.YAMLError) -> str:
    mark = getattr(fault, "problem_mark", None)
    problem = getattr(fault, "problem", None) or str(fault)
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem


def _check_keys(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                place = f"in {where}" if where else "at top level"
                raise Invalid(f"non-string key {place}: {key!r}")
            _check_keys(item, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_keys(item, f"{where}[{number}]")


def write(config: Mapping[str, Any]) -> str:
    """A configuration as YAML, its members in the order they are in."""
    written: str = yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True,
                             default_flow_style=False, width=_WIDE)  # fmt: skip
    return written
