"""Join tokens: ``SWMTKN-1-<digest of the cluster's CA>-<secret>``, as Docker writes them.

The digest lets a joining host recognise the right cluster, the secret lets the cluster recognise a
welcome host, and says in which role.
"""

from __future__ import annotations

import hmac
import re

import msgspec

from skep.model.cluster import Tokens
from skep.model.errors import Invalid
from skep.model.ids import base36
from skep.wire.authority import DIGEST_LENGTH, digest

SECRET_LENGTH = 25
_FORM = re.compile(rf"SWMTKN-1-([0-9a-z]{{{DIGEST_LENGTH}}})-([0-9a-z]{{{SECRET_LENGTH}}})")


class Token(msgspec.Struct, frozen=True):
    """A join token, taken apart. Its secret is not shown by ``repr``."""

    digest: str
    secret: str

    def __repr__(self) -> str:
        return f"Token({self.digest!r}, …)"

    def is_for(self, ca: str) -> bool:
        """Does the token belong to the cluster with this CA certificate (PEM)? Raises `Invalid`."""
        return hmac.compare_digest(self.digest, digest(ca))


def new_secret(entropy: bytes) -> str:
    """A token's secret, from at least 17 random bytes."""
    assert len(entropy) >= 17, "a secret of 25 base-36 digits takes 129 random bits"
    return base36(int.from_bytes(entropy, "big"), SECRET_LENGTH)


def format_token(ca: str, secret: str) -> str:
    """The token that users see, for the cluster with this CA certificate (PEM)."""
    assert len(secret) == SECRET_LENGTH, "not a token's secret"
    return f"SWMTKN-1-{digest(ca)}-{secret}"


def parse_token(text: str) -> Token:
    """Take a token apart. Raises `Invalid` with Docker's sentence."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise Invalid("invalid join token")
    return Token(found[1], found[2])


def role_of(secret: str, tokens: Tokens) -> str | None:
    """The role that a joining host's secret stands for, None if it is wrong. In constant time."""
    given = secret.encode()
    manager = hmac.compare_digest(given, tokens.manager.encode())
    worker = hmac.compare_digest(given, tokens.worker.encode())
    return "manager" if manager else "worker" if worker else None
