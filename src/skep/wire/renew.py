"""When a host's certificate is renewed: a decision without a clock."""

from __future__ import annotations

from skep.wire.authority import serial_number, validity

_EARLIEST, _LATEST = 0.5, 0.8


def renew_at(certificate: str, now: float) -> float:
    """The instant (Unix seconds, never before ``now``) to renew the certificate (PEM) at.

    Between half and four fifths of its life, as in Docker. Where in between follows from its
    serial number: hosts that joined together do not renew together, and asking twice gives the
    same answer. Raises `Invalid` if it is malformed.
    """
    life = validity(certificate)
    share = serial_number(certificate) % 1000 / 1000
    fraction = _EARLIEST + (_LATEST - _EARLIEST) * share
    return max(now, life.begin + fraction * (life.end - life.begin))
