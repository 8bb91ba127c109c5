"""The messages of an agent's session with a manager: msgpack over a WebSocket over mutual TLS.

Each message is a tagged struct. The agent speaks first (`Hello`). Requests carry a ``serial`` that
the answer repeats; all else is one-way.
"""

from __future__ import annotations

import msgspec

from skep.model.assignment import AssignmentDelta
from skep.model.cluster import Attachment, Grounds, NodeDescription, TakenPort, TaskStatus
from skep.model.inspection import Question
from skep.model.secure import TunnelKey


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base: the struct's name is its tag."""


class Hello(Message, frozen=True):
    """Agent: who I am and the index of the assignment I hold (0: none)."""

    description: NodeDescription
    address: str
    vtep: str
    index: int = 0


class Keys(Message, frozen=True):
    """Agent: the public halves of my tunnel keys."""

    keys: tuple[TunnelKey, ...]


class Status(Message, frozen=True):
    """Agent: what I observed of tasks of mine, by task id."""

    tasks: dict[str, TaskStatus]


class Beat(Message, frozen=True):
    """Agent: alive; ``applied`` is the index my kernel was last brought to."""

    applied: int


class Listening(Message, frozen=True):
    """Agent: the ports that this host's own programs listen on now."""

    ports: tuple[TakenPort, ...]


class Offers(Message, frozen=True):
    """Agent: what this host has now for networks on its links."""

    grounds: Grounds


class Attach(Message, frozen=True):
    """Agent: a user starts a container here on attachable swarm networks; give it addresses.

    ``networks`` maps network id to wanted address ("" for any), ``networks6`` to a wanted IPv6
    address; ``names`` are the container's DNS names (its own name first, then short id, host
    name), ``aliases`` those per network.
    """

    serial: int
    container_id: str
    container_name: str
    networks: dict[str, str]
    names: tuple[str, ...] = ()
    aliases: dict[str, tuple[str, ...]] = {}
    networks6: dict[str, str] = {}


class Attached(Message, frozen=True):
    """Manager: the attachment task and its addresses, or the refusal's sentence and status."""

    serial: int
    task_id: str = ""
    attachments: tuple[Attachment, ...] = ()
    refusal: str = ""
    status: int = 0


class Detach(Message, frozen=True):
    """Agent: the container of this attachment task is gone; take its addresses back."""

    task_id: str


class Assign(Message, frozen=True):
    """Manager: your assignment changed."""

    delta: AssignmentDelta


class Resync(Message, frozen=True):
    """Agent: that delta does not fit what I hold; send all."""


class Goodbye(Message, frozen=True):
    """Agent: I leave the swarm. Manager: you were removed."""

    reason: str


LOG_WINDOW = 256 << 10
"""How much of one log may be under way: the weight of the pieces that the manager has not asked
more for. A reader that stands still makes the agent wait, and costs no more memory than this."""


class ReadLogs(Message, frozen=True):
    """Manager: send me the logs of a container of yours, as `LogPiece` with this serial.

    ``options`` are the query parameters of ``GET /containers/x/logs``.
    """

    serial: int
    container_id: str
    options: dict[str, str]


class LogPiece(Message, frozen=True):
    """Agent: a piece of a log, framed as the engine frames it; the last one has ``end`` set, and
    ``refusal`` and its ``status`` if it could not be read. ``tty`` tells that it is not framed."""

    serial: int
    data: bytes = b""
    tty: bool = False
    end: bool = False
    refusal: str = ""
    status: int = 0

    @property
    def weight(self) -> int:
        """What it takes of `LOG_WINDOW`: its bytes, and something for being a message."""
        return len(self.data) + 512


class MoreLogs(Message, frozen=True):
    """Manager: pieces of this log that weigh so much have been read: send as much again."""

    serial: int
    weight: int


class StopLogs(Message, frozen=True):
    """Manager: I need no more of this log."""

    serial: int


class ReadState(Message, frozen=True):
    """Manager: tell me this of yourself, as `StateAnswer` with this serial."""

    serial: int
    what: Question


class StopState(Message, frozen=True):
    """Manager: tell me what you have heard so far, it is enough."""

    serial: int


class StateAnswer(Message, frozen=True):
    """Agent: a piece of an answer (msgpack, compressed by zlib); the last one has ``end`` set, and
    ``refusal`` if there is none. An empty first piece says that listening has begun; with
    ``part`` set, the pieces up to this one are an answer by themselves, and another follows."""

    serial: int
    data: bytes = b""
    end: bool = False
    part: bool = False
    refusal: str = ""


FromAgent = (
    Hello
    | Keys
    | Status
    | Beat
    | Listening
    | Offers
    | Attach
    | Detach
    | Resync
    | LogPiece
    | StateAnswer
    | Goodbye
)
FromManager = Assign | Attached | ReadLogs | MoreLogs | StopLogs | ReadState | StopState | Goodbye
