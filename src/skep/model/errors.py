"""Refusals: what a caller is told when a request cannot be done. The whole tree, in one place.

    Refusal
    ├── Invalid          400  the request itself is wrong
    ├── Forbidden        403  right in itself, but never allowed
    ├── Missing          404  it names something that does not exist
    ├── Clash            409  it conflicts with something that exists
    ├── OutOfSequence    500  Docker's answer to a stale ``?version=``
    ├── Broken           500  the engine or the kernel could not do it; the message says why
    ├── Unsupported      501  Docker has it, this version of Skep does not
    └── Unavailable      503  not now: no manager, not a swarm, peer unreachable
        └── EngineLost   503  the container engine is not there; what it was doing is not known

Only refusals cross package borders as exceptions. Broken invariants are ``assert``; faults of the
world are values. ``api.errors`` is the one place that turns the tree into HTTP.
"""

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no message: one of its own errors, that of a text which is
not UTF-8, or that of lists in lists without end."""


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """A request that was understood and declined. ``str()`` is the sentence the user reads."""

    status = 500


class Invalid(Refusal):
    """The request is malformed or contradicts itself."""

    status = 400


class Forbidden(Refusal):
    """The request asks for something that is never allowed on this object."""

    status = 403


class Missing(Refusal):
    """The request names an object that does not exist."""

    status = 404


class Clash(Refusal):
    """The request conflicts with an object that exists."""

    status = 409


class OutOfSequence(Refusal):
    """The object was changed since the caller read it (stale ``Version.Index``)."""

    status = 500

    def __init__(self) -> None:
        super().__init__("rpc error: code = Unknown desc = update out of sequence")


class Broken(Refusal):
    """The engine or the kernel failed while doing the request; the message names the cause."""

    status = 500


class Unsupported(Refusal):
    """Docker offers this, this version of Skep does not (yet)."""

    status = 501


class Unavailable(Refusal):
    """It cannot be done now: this host is not in a swarm, or no manager can be reached."""

    status = 503


class EngineLost(Unavailable):
    """The container engine is not there, or went away in the middle of an answer. It is started
    again; whether it has done what it was asked to do is not known."""


def refusal_kind(status: int) -> type[Refusal]:
    """The refusal that an HTTP status (of a peer that refuses in our words) stands for."""
    kinds = (Invalid, Forbidden, Missing, Clash, Unsupported, Unavailable)
    return next((kind for kind in kinds if kind.status == status), Broken)
