"""The peer mesh without its socket: what a probe looks like, and what probes say of a peer.

A datagram is a 16-byte tag and a msgpack list: kind, sender, sequence, the sender's monotonic time
in nanoseconds, padding. The tag is a BLAKE2b of the receiver's node id and the list, keyed with the
cluster's mesh key: nobody else can write one, and one recorded on its way to a peer is worth
nothing to another. What is sent twice is dropped by the sequence: each probe has one echo.
"""

from __future__ import annotations

import hmac
from collections import deque
from hashlib import blake2b

import msgspec

from skep.agent.pathsize import PathSize
from skep.model.errors import UNREADABLE

TAG_SIZE = 16
PROBE, ECHO = 0, 1
MAX_DATAGRAM = 9216
"""Bytes that are read at most: as much as the largest frames in use carry."""
TIMEOUT_NS = 1_000_000_000
"""A probe whose echo takes longer counts as lost."""
KEPT = 20
"""Probes that a peer's loss is reckoned over."""
KEPT_LARGE = 5
"""The same for probes that fill the underlay's MTU."""
LARGE_EVERY, CLOSER_EVERY = 4, 2
"""Every so many turns of a peer it is sent large probes, too; and where they are getting lost. A
turn is as long as an echo may take."""
DEAF = 0.5
"""Loss of small probes from which on that of large ones says nothing of their size."""
HEADERS = 28
"""Bytes of a datagram's IPv4 and UDP headers."""
IPV6_MORE = 20
"""Bytes that an IPv6 header takes more than one of IPv4."""
_PADDING = 32  # a probe is larger than its echo: it cannot be used to multiply traffic
_WEIGHT = 0.2


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """A datagram's content. ``sent_at`` is the probing side's; the echo repeats it."""

    kind: int
    sender: str
    sequence: int
    sent_at: int
    padding: bytes = b""


class PeerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a peer. ``seen_at`` is Unix seconds (0.0: never); round trips are seconds
    (0.0: none yet): the last, and smoothed. ``loss`` is the share (0.0 to 1.0) of the last
    ``probes`` (up to 20) that came to nothing. Of those that fill an IPv4 packet of ``large_size``
    bytes, ``large_loss`` of the last ``large_probes`` (up to 5) did; where all do, packets of up to
    ``path_mtu`` bytes get there (0: not known)."""

    address: str
    seen_at: float = 0.0
    rtt: float = 0.0
    rtt_smoothed: float = 0.0
    loss: float = 0.0
    probes: int = 0
    large_loss: float = 0.0
    large_probes: int = 0
    large_size: int = 0
    path_mtu: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Packet)


def write(packet: Packet, receiver: str, key: bytes) -> bytes:
    """The datagram for ``receiver`` (a node id). ``key`` is 1 to 64 bytes."""
    body = _encode(packet)
    return _tag(body, receiver, key) + body


def read(datagram: bytes, receiver: str, key: bytes) -> Packet | None:
    """The content of a datagram that reached ``receiver``; None unless it is whole and genuine."""
    tag, body = datagram[:TAG_SIZE], datagram[TAG_SIZE:]
    if len(datagram) > MAX_DATAGRAM or not hmac.compare_digest(tag, _tag(body, receiver, key)):
        return None
    try:
        return _decoder.decode(body)
    except UNREADABLE:
        return None


def probe(sender: str, sequence: int, now: int) -> Packet:
    """A probe at monotonic time ``now`` (nanoseconds)."""
    return Packet(PROBE, sender, sequence, now, bytes(_PADDING))


def large_probe(sender: str, sequence: int, now: int, size: int) -> Packet:
    """A probe whose datagram makes an IPv4 packet of ``size`` bytes."""
    room = size - HEADERS - TAG_SIZE
    packet = Packet(PROBE, sender, sequence, now)
    # The padding's own length takes a byte or two more, the longer it is.
    for lengthening in (5, 3, 2, 1):
        padding = room - len(_encode(packet)) + 1 - lengthening
        padded = Packet(PROBE, sender, sequence, now, bytes(max(padding, 0)))
        if len(_encode(padded)) == room:
            return padded
    return padded


def echo(sender: str, asked: Packet) -> Packet:
    """The answer to a probe."""
    return Packet(ECHO, sender, asked.sequence, asked.sent_at)


def _tag(body: bytes, receiver: str, key: bytes) -> bytes:
    name = receiver.encode()
    # The length keeps "name + body" from being read at another border.
    return blake2b(bytes([len(name)]) + name + body, key=key, digest_size=TAG_SIZE).digest()


class _Account:
    """Probes of one size: those under way, and what became of the last ones."""

    def __init__(self, kept: int) -> None:
        self._open: dict[int, int] = {}
        self._answered: deque[bool] = deque(maxlen=kept)

    def sent(self, sequence: int, now: int) -> None:
        self._open[sequence] = now

    def expire(self, now: int) -> None:
        late = [sequence for sequence, sent in self._open.items() if now - sent > TIMEOUT_NS]
        for sequence in late:
            del self._open[sequence]
            self._answered.append(False)

    def answered(self, sequence: int) -> int | None:
        """When it was sent; None if it is not under way."""
        sent = self._open.pop(sequence, None)
        if sent is not None:
            self._answered.append(True)
        return sent

    @property
    def probes(self) -> int:
        return len(self._answered)

    @property
    def loss(self) -> float:
        return self._answered.count(False) / self.probes if self.probes else 0.0


class Peer:
    """The running account of one peer. Instants are the caller's monotonic nanoseconds."""

    def __init__(self, address: str, path_mtu: int = 0) -> None:
        """``path_mtu`` is what was last known of it."""
        self._address = address
        self._path = PathSize(path_mtu)
        self._turns = 0
        self._small = _Account(KEPT)
        self._large = _Account(KEPT_LARGE)
        self._large_size = 0
        self._seen_at = self._rtt = self._smoothed = 0.0

    def probed(self, sequence: int, now: int) -> None:
        """A probe is sent to it; earlier ones that are too old are lost."""
        self.expire(now)
        self._small.sent(sequence, now)

    def large_sizes(self, full: int, least: int, grain: int) -> list[int]:
        """The sizes (bytes) of the large probes that are to be sent beside this turn's small one:
        ``full`` every few turns, more often and with others, multiples of ``grain``, where it gets
        lost."""
        self._turns += 1
        if (self._turns - 1) % (CLOSER_EVERY if self._path.suspicious else LARGE_EVERY):
            return []
        if self._small.loss >= DEAF:
            return [full]
        return self._path.sizes(full, least, grain)

    def probed_large(self, sequence: int, now: int, size: int, full: int) -> None:
        """A probe of ``size`` bytes is sent to it; ``full`` is what fills the underlay's MTU."""
        self.expire(now)
        self._path.sent(sequence, size)
        if full != self._large_size:
            self._large, self._large_size = _Account(KEPT_LARGE), full
        if size == full:
            self._large.sent(sequence, now)

    def expire(self, now: int) -> None:
        """Give up what has been under way for too long."""
        self._small.expire(now)
        self._large.expire(now)

    def answered(self, sequence: int, now: int, wall: float) -> None:
        """Its echo came, at Unix time ``wall``. Late, repeated or unasked ones do not count."""
        self.expire(now)
        sent = self._small.answered(sequence)
        if sent is None:
            self._path.answered(sequence)
            self._large.answered(sequence)
            return
        self._rtt = (now - sent) / 1e9
        weight = _WEIGHT if self._smoothed else 1.0
        self._smoothed += weight * (self._rtt - self._smoothed)
        self._seen_at = wall

    def health(self) -> PeerHealth:
        """The account, closed."""
        return PeerHealth(
            address=self._address,
            seen_at=self._seen_at,
            rtt=self._rtt,
            rtt_smoothed=self._smoothed,
            loss=self._small.loss,
            probes=self._small.probes,
            large_loss=self._large.loss,
            large_probes=self._large.probes,
            large_size=self._large_size,
            path_mtu=self.path_mtu,
        )

    @property
    def path_mtu(self) -> int:
        """The largest packets that get there, if not all do; else 0."""
        return self._path.known
