"""What a node must be: placement constraints (``node.labels.disk==ssd``), platforms, labels.

Comparing ignores case. A key that nobody knows matches no node, as in Docker.
Source: swarmkit manager/constraint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network

import msgspec

from skep.cluster.rpc import unknown
from skep.model.cluster import Node

_KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE)
_VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE)
_NODE_LABEL = "node.labels."
_ENGINE_LABEL = "engine.labels."

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's words for what uname says."""


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
        actual = attribute(constraint.key, node)
        same = None if actual is None else actual.lower() == constraint.value.lower()
    # None, for what cannot be compared, is neither the same nor another.
    return same == (constraint.operator == "==")


def violated(expressions: Iterable[str], node: Node) -> str:
    """The first of a stored spec's constraints that the node does not meet; "" if it meets all."""
    for constraint in parse(expressions):
        if not satisfied(constraint, node):
            return str(constraint)
    return ""


def attribute(key: str, node: Node) -> str | None:
    """What the node says of a constraint's or a spread's key; None for a key that nobody knows.

    A label that the node does not have is "".
    """
    lower = key.lower()
    # Only the prefix ignores case: labels themselves do not.
    if lower.startswith(_NODE_LABEL):
        return node.spec.labels.get(key[len(_NODE_LABEL) :], "")
    if lower.startswith(_ENGINE_LABEL):
        return node.description.engine_labels.get(key[len(_ENGINE_LABEL) :], "")
    read = _ATTRIBUTES.get(lower)
    return read(node) if read else None


_ATTRIBUTES: Mapping[str, Callable[[Node], str]] = {
    "node.id": lambda node: node.id,
    "node.hostname": lambda node: node.description.hostname,
    "node.role": lambda node: node.spec.role,
    "node.platform.os": lambda node: node.description.platform.os,
    "node.platform.arch": lambda node: node.description.platform.architecture,
}


def _within(address: str, wanted: str) -> bool | None:
    try:
        return ip_address(address) in ip_network(wanted, strict=False)
    except ValueError:
        return None


def runs_on(platforms: Iterable[Mapping[str, str]], node: Node) -> bool:
    """Whether the node is of one of the platforms; of any if there are none."""
    wanted = tuple(platforms)
    return not wanted or any(_fits(platform, node) for platform in wanted)


def _fits(wanted: Mapping[str, str], node: Node) -> bool:
    have = node.description.platform
    architecture, system = wanted.get("Architecture", ""), wanted.get("OS", "")
    return system in ("", have.os) and (
        not architecture or _normal(architecture) == _normal(have.architecture)
    )


def _normal(architecture: str) -> str:
    return ARCHITECTURES.get(architecture.lower(), architecture.lower())


def is_known(key: str) -> bool:
    """Whether nodes say anything under this key of a constraint or a spread."""
    lower = key.lower()
    labels = any(lower.startswith(p) and len(key) > len(p) for p in (_NODE_LABEL, _ENGINE_LABEL))
    return labels or lower in _ATTRIBUTES
