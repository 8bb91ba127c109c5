"""Options that a service's labels carry: refused when they are given, if they make no sense."""

from __future__ import annotations

from collections.abc import Mapping

from skep.model.errors import Invalid
from skep.model.options import read_options, read_weight


def check_options(labels: Mapping[str, str]) -> None:
    """Raises `Invalid` for an option that cannot be read or that there is none of."""
    _, complaints = read_options(labels)
    if complaints:
        raise Invalid(complaints[0])


def check_node_options(labels: Mapping[str, str]) -> None:
    """Raises `Invalid` for an option of nodes that cannot be read or that there is none of."""
    _, complaints = read_weight(labels)
    if complaints:
        raise Invalid(complaints[0])
