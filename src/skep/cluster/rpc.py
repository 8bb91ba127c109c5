"""Refusals in the words of Docker's managers: users and tools match on these sentences."""

from __future__ import annotations

from skep.model.errors import Clash, Forbidden, Invalid, Missing, Unsupported


def _sentence(code: str, text: str) -> str:
    return f"rpc error: code = {code} desc = {text}"


def invalid(text: str) -> Invalid:
    """The request is wrong in itself."""
    return Invalid(_sentence("InvalidArgument", text))


def unknown(text: str) -> Invalid:
    """The request is wrong in itself, where Docker's code for that is Unknown."""
    return Invalid(_sentence("Unknown", text))


def exists(text: str) -> Clash:
    """Such an object exists already."""
    return Clash(_sentence("AlreadyExists", text))


def precondition(text: str) -> Invalid:
    """The cluster's state does not allow it."""
    return Invalid(_sentence("FailedPrecondition", text))


def denied(text: str) -> Forbidden:
    """It is not allowed on this object."""
    return Forbidden(_sentence("PermissionDenied", text))


def absent(text: str) -> Missing:
    """The object does not exist."""
    return Missing(_sentence("NotFound", text))


def unimplemented(text: str) -> Unsupported:
    """Docker itself does not do this."""
    return Unsupported(_sentence("Unimplemented", text))
