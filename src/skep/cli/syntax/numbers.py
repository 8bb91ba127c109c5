"""Numbers and truth values, with the complaints of Go's strconv."""

from __future__ import annotations

import re

from skep.model.errors import Invalid

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}
_BASES = {"0x": 16, "0o": 8, "0b": 2}


def boolean(text: str) -> bool:
    """A truth value as ``strconv.ParseBool`` takes it."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise Invalid(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def integer(text: str) -> int:
    """A whole number of at most 64 bits, also in hexadecimal, octal and binary."""
    return _whole(text, "ParseInt", r"[+-]?")


def natural(text: str) -> int:
    """As `integer`, but not negative."""
    return _whole(text, "ParseUint", "")


def _whole(text: str, function: str, sign: str) -> int:
    if not re.fullmatch(rf"{sign}(0[xX][0-9a-fA-F]+|0[oO]?[0-7]*|0[bB][01]+|[1-9][0-9]*)", text):
        raise Invalid(f'strconv.{function}: parsing "{text}": invalid syntax')
    digits = text.lstrip("+-").lower()
    if digits[:2] in _BASES:
        value = int(digits[2:], _BASES[digits[:2]])
    else:
        value = int(digits, 8 if digits.startswith("0") else 10)
    if value >= 1 << (64 if function == "ParseUint" else 63):
        raise Invalid(f'strconv.{function}: parsing "{text}": value out of range')
    return -value if text.startswith("-") else value


def decimal(text: str) -> float:
    """A number with a fraction."""
    try:
        return float(text)
    except ValueError as fault:
        raise Invalid(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from fault


def octal(text: str) -> int:
    """A file mode."""
    if not re.fullmatch(r"[0-7]+", text):
        raise Invalid(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text, 8)


def port_number(text: str) -> int:
    """A number of at most 16 bits; the complaint is only the reason."""
    if not re.fullmatch(r"\d+", text):
        raise Invalid("invalid syntax")
    if int(text) > 0xFFFF:
        raise Invalid("value out of range")
    return int(text)
