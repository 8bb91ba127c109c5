"""What a host says of itself: believed, as long as it can be.

Other hosts plan their kernels from it. What they could make nothing of would end all of them.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from skep.model.errors import Invalid
from skep.model.secure import TunnelKey

KEY = re.compile(r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
"""32 bytes in base64, as wg(8) takes them."""
LAST_PORT = 65535


def check_addresses(*claimed: str) -> None:
    """Raises `Invalid` for one that is no IP address that a host can have; "" is none at all."""
    for text in filter(None, claimed):
        try:
            address = ip_address(text)
        except ValueError:
            raise Invalid(f"{text!r} is no IP address: no host can be there") from None
        if address.is_multicast or address.is_unspecified or "%" in text:
            raise Invalid(f"{text} is no address of a single host")


def check_key(key: TunnelKey) -> None:
    """Raises `Invalid` for what is no key of WireGuard, or no port."""
    if not KEY.fullmatch(key.public):
        raise Invalid(f"{key.public[:60]!r} is no key of a tunnel")
    if not 0 < key.port <= LAST_PORT or key.generation < 0:
        raise Invalid(f"a tunnel cannot end at UDP port {key.port} (generation {key.generation})")
