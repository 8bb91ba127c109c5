"""Who talks to whom: conversations as a host's connection tracking knows them, with names."""

from __future__ import annotations

import msgspec


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is told of conversations."""


class Tracked(Told, frozen=True):
    """A conversation as one namespace tracks it: who began it, whom it was for, and who answers
    (the same, unless it was sent on). Ports are 0 for protocols without; ``protocol`` is the number
    in IP's header, ``state`` TCP's in the words of `skep.kernel.conntrack`, "" for others. Bytes
    and packets are -1 where the kernel does not count them.

    Source: linux/netfilter/nfnetlink_conntrack.h.
    """

    protocol: int
    source: str
    target: str
    answerer: str
    source_port: int = 0
    target_port: int = 0
    answerer_port: int = 0
    answered: bool = False
    state: str = ""
    sent_packets: int = -1
    sent_bytes: int = -1
    received_packets: int = -1
    received_bytes: int = -1


class Party(Told, frozen=True):
    """One end of a conversation. ``kind`` is container, vip, host, gateway, outside or nobody
    (a network's address that is nobody's); ``name`` a task's or container's, a host's, or the
    address again for what is outside."""

    address: str
    port: int = 0
    kind: str = "outside"
    name: str = ""
    service: str = ""
    network: str = ""

    @property
    def called(self) -> str:
        """The service, or who it is if it belongs to none."""
        return self.service or self.name or self.address


class Flow(Told, frozen=True):
    """A conversation between two named parties, as ``host`` sees it; ``asked`` is what the client
    named if it was sent on from there ("web 10.0.1.5:80"). ``verdict`` is answered or
    unanswered."""

    host: str
    protocol: str
    client: Party
    server: Party
    asked: str = ""
    verdict: str = ""
    state: str = ""
    sent_packets: int = -1
    sent_bytes: int = -1
    received_packets: int = -1
    received_bytes: int = -1


class Wanted(Told, frozen=True):
    """Which flows are asked for: with this service, container or host at either end (by name), seen
    at this host, on this network, at this server's port (0: any), with the outside, without an
    answer."""

    party: str = ""
    host: str = ""
    network: str = ""
    port: int = 0
    outside: bool = False
    unanswered: bool = False


class Flows(Told, frozen=True):
    """All that was found; ``silent`` maps hosts that could not be asked to why."""

    flows: tuple[Flow, ...] = ()
    silent: dict[str, str] = {}
