"""JSON as it came, laid out: numbers, escapes and order stay what the server wrote."""

from __future__ import annotations

import re

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[\[\]{},:]|[^\s\[\]{},:"]+')
_STEP = "    "


def indented(text: str) -> str:
    """The same JSON, four spaces a level. Source: Go's json.Indent."""
    shown: list[str] = []
    depth = 0
    tokens = _TOKEN.findall(text)
    for place, token in enumerate(tokens):
        opened = place > 0 and tokens[place - 1] in ("{", "[")
        if token in ("}", "]"):
            depth -= 1
            shown.append(token if opened else f"\n{_STEP * depth}{token}")
            continue
        if opened:
            shown.append(f"\n{_STEP * depth}")
        shown.append(token)
        if token in ("{", "["):
            depth += 1
        elif token == ",":
            shown.append(f"\n{_STEP * depth}")
        elif token == ":":
            shown.append(" ")
    return "".join(shown)


def compact(text: str) -> str:
    """The same JSON without white space between its tokens."""
    return "".join(_TOKEN.findall(text))
