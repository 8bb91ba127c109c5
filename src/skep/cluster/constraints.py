"""Placement constraints: ``node.labels.disk==ssd`` and the like.

Comparing ignores case. A key that nobody knows matches no node, as in Docker.
Source: swarmkit manager/constraint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network

import msgspec

from skep.cluster.rpc import unknown
from skep.model.cluster import Node

_KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE)
_VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE)
_NODE_LABEL = "node.labels."
_ENGINE_LABEL = "engine.labels."


class Constraint(msgspec.Struct, frozen=True):
    """A parsed constraint; ``operator`` is ``==`` or ``!=``."""

    key: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}{self.operator}{self.value}"


def parse(expressions: Iterable[str]) -> tuple[Constraint, ...]:
    """Parse constraints as users write them. Raises `Invalid` in Docker's words."""
    return tuple(_parse_one(expression) for expression in expressions)


def _parse_one(expression: str) -> Constraint:
    for operator in ("==", "!="):
        key, found, value = expression.partition(operator)
        if not found:
            continue
        key, value = key.strip(), value.strip()
        if not _KEY.fullmatch(key):
            raise unknown(f"key '{key}' is invalid")
        if not _VALUE.fullmatch(value):
            raise unknown(f"value '{value}' is invalid")
        return Constraint(key, operator, value)
    raise unknown("constraint expected one operator from ==, !=")


def satisfied(constraint: Constraint, node: Node) -> bool:
    """Whether the node meets the constraint."""
    if constraint.key.lower() == "node.ip":
        same = _within(node.address, constraint.value)
    else:
        actual = _actual(constraint.key, node)
        same = None if actual is None else actual.lower() == constraint.value.lower()
    # None, for what cannot be compared, is neither the same nor another.
    return same == (constraint.operator == "==")


def violated(expressions: Iterable[str], node: Node) -> str:
    """The first of a stored spec's constraints that the node does not meet; "" if it meets all."""
    for constraint in parse(expressions):
        if not satisfied(constraint, node):
            return str(constraint)
    return ""


def _actual(key: str, node: Node) -> str | None:
    known: Mapping[str, str] = {
        "node.id": node.id,
        "node.hostname": node.description.hostname,
        "node.role": node.spec.role,
        "node.platform.os": node.description.platform.os,
        "node.platform.arch": node.description.platform.architecture,
    }
    lower = key.lower()
    # Only the prefix ignores case: labels themselves do not.
    if lower.startswith(_NODE_LABEL):
        return node.spec.labels.get(key[len(_NODE_LABEL) :], "")
    if lower.startswith(_ENGINE_LABEL):
        return node.description.engine_labels.get(key[len(_ENGINE_LABEL) :], "")
    return known.get(lower)


def _within(address: str, wanted: str) -> bool | None:
    try:
        return ip_address(address) in ip_network(wanted, strict=False)
    except ValueError:
        return None
