"""The keys that leave a container and let it go on: ctrl-p, ctrl-q unless others are chosen."""

from __future__ import annotations

from skep.model.errors import Invalid

DEFAULT = "ctrl-p,ctrl-q"
_CONTROLS = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def key_bytes(text: str) -> bytes:
    """The bytes of keys: "ctrl-a,b". Raises `Invalid`. Source: moby/term ToBytes."""
    found = bytearray()
    for word in text.split(","):
        if len(word) == 1:
            found += word.encode()
            continue
        mark, _, key = word.lower().partition("-")
        if mark != "ctrl" or len(key) != 1 or key not in _CONTROLS:
            raise Invalid(f"Unknown character: '{word}'")
        found.append(_CONTROLS.index(key))
    return bytes(found)


class Escape:
    """Watches what is typed for the keys. What may yet become them is held back."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0
        self.typed = False

    def feed(self, data: bytes) -> bytes:
        """The bytes that go on to the container; ``typed`` is true after the last key."""
        passed = bytearray()
        for byte in data:
            if byte != self._keys[self._matched]:
                passed += self._keys[: self._matched]
                self._matched = 0
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self.typed = True
                    return bytes(passed)
            else:
                passed.append(byte)
        return bytes(passed)
