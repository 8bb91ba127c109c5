"""Identifiers in the shapes that Docker's users know. Entropy is passed in."""

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
SWARM_ID_LENGTH = 25
HEX_ID_LENGTH = 64


def base36(number: int, width: int) -> str:
    """``number`` in base 36: its last ``width`` digits, zeros in front."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def swarm_id(entropy: bytes) -> str:
    """A 25-digit base-36 id (a swarm's objects) from at least 17 random bytes."""
    return base36(int.from_bytes(entropy, "big"), SWARM_ID_LENGTH)


def hex_id(entropy: bytes) -> str:
    """A 64-digit hexadecimal id (a host's own objects) from 32 random bytes."""
    assert len(entropy) == HEX_ID_LENGTH // 2, "a local id takes exactly 32 random bytes"
    return entropy.hex()


def mac_of(address: str) -> str:
    """The MAC of an endpoint: ``02:42`` and its IPv4 address (/prefix cut) in hex."""
    octets = address.partition("/")[0].split(".")
    assert len(octets) == 4, f"not an IPv4 address: {address}"
    return ":".join(["02", "42", *(f"{int(octet):02x}" for octet in octets)])
