"""The bodies of ``swarm init``, ``join`` and ``update``, checked. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import msgspec

from skep.api.ports import InitRequest, JoinRequest
from skep.api.shapes.swarm import RAFT, SWARM_NAME
from skep.model.errors import Broken, Invalid, Unsupported
from skep.model.spec import SECOND, Spec

PORT = 2377
LISTEN = f"0.0.0.0:{PORT}"
DATA_PATH_PORT = 4789
DATA_PATH_PORTS = range(1024, 49152)
SUBNET_SIZE = 24
SUBNET_SIZES = range(8, 30)
AVAILABILITIES = ("", "active", "pause", "drain")
TOKEN = re.compile(r"SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}")
DAY = 24 * 3600 * SECOND

NAME = re.compile(r"[^\s:/]{1,15}")
"""What the kernel allows as an interface's name."""

HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
NUMBERS = re.compile(r"[0-9.]+")
"""What means to be an IPv4 address, and nothing else."""

SIXTH = re.compile(r"\[(?P<inner>[^\]]*)\](?::(?P<port>.*))?")
"""An IPv6 address in brackets, with or without a port."""


class Orchestration(Spec, frozen=True):
    """How many dead tasks are kept for each slot."""

    task_history_retention_limit: int | None = None


class Dispatcher(Spec, frozen=True):
    """How often agents give a sign of life, in nanoseconds."""

    heartbeat_period: int = 0


class CaConfig(Spec, frozen=True):
    """How long a node's certificate is good, in nanoseconds; a number to count rotations."""

    node_cert_expiry: int = 0
    external_c_as: tuple[dict[str, Any], ...] = msgspec.field(default=(), name="ExternalCAs")
    signing_ca_cert: str = msgspec.field(default="", name="SigningCACert")
    signing_ca_key: str = msgspec.field(default="", name="SigningCAKey")
    force_rotate: int = 0


class Encryption(Spec, frozen=True):
    """Whether managers need a key to start."""

    auto_lock_managers: bool = False


class Raft(Spec, frozen=True):
    """Docker's Raft. Skep has none: nothing of it can be set."""

    snapshot_interval: int = 0
    keep_old_snapshots: int | None = None
    log_entries_for_slow_followers: int = 0
    election_tick: int = 0
    heartbeat_tick: int = 0


class SwarmSpec(Spec, frozen=True):
    """``POST /swarm/update``, and ``Spec`` of ``POST /swarm/init``."""

    name: str = ""
    labels: dict[str, str] = {}  # noqa: RUF012 - msgspec gives each its own
    orchestration: Orchestration = Orchestration()
    raft: Raft = Raft()
    dispatcher: Dispatcher = Dispatcher()
    ca_config: CaConfig = msgspec.field(default=CaConfig(), name="CAConfig")
    encryption_config: Encryption = Encryption()


class InitBody(Spec, frozen=True):
    """``POST /swarm/init``."""

    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    data_path_port: int = 0
    default_addr_pool: tuple[str, ...] = ()
    subnet_size: int = 0
    force_new_cluster: bool = False
    auto_lock_managers: bool = False
    availability: str = ""
    spec: SwarmSpec = SwarmSpec()


class JoinBody(Spec, frozen=True):
    """``POST /swarm/join``."""

    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    remote_addrs: tuple[str, ...] = ()
    join_token: str = ""
    availability: str = ""


def init_request(body: InitBody) -> InitRequest:
    """What making a swarm takes. Raises `Invalid`, `Unsupported`."""
    if body.auto_lock_managers:
        raise Unsupported("locking managers (--autolock) is not supported by this version of Skep")
    if body.force_new_cluster:
        raise Unsupported(
            "--force-new-cluster is for a manager that lost the others, and a swarm of Skep has "
            "one: leave it out to make a new swarm, after leaving the old one by force"
        )
    refuse_unsupported(body.spec)
    port = body.data_path_port or DATA_PATH_PORT
    if port not in DATA_PATH_PORTS:
        raise Invalid(f"Datapath port number is not in valid range (1024-49151) : {port}")
    size = body.subnet_size or SUBNET_SIZE
    if size not in SUBNET_SIZES:
        raise Invalid(f"invalid subnet size {size}: 8 to 29 are possible")
    spec, usual = body.spec, InitRequest()
    history = spec.orchestration.task_history_retention_limit
    return InitRequest(
        listen_address=with_port(body.listen_addr or LISTEN, "ListenAddr"),
        advertise_address=address(body.advertise_addr, "AdvertiseAddr"),
        data_path_address=address(body.data_path_addr, "DataPathAddr"),
        data_path_port=port,
        address_pools=tuple(pool(text) for text in body.default_addr_pool),
        subnet_size=size,
        availability=availability(body.availability),
        task_history=usual.task_history if history is None else history,
        heartbeat=spec.dispatcher.heartbeat_period / SECOND or usual.heartbeat,
        certificate_days=certificate_days(spec.ca_config.node_cert_expiry),
        labels=spec.labels,
    )


def join_request(body: JoinBody) -> JoinRequest:
    """What joining a swarm takes. Raises `Invalid`, `Broken` (Docker's status for a bad token)."""
    if not body.remote_addrs:
        raise Invalid("at least 1 RemoteAddr is required to join")
    if not body.join_token:
        raise Invalid("no join token given")
    if not TOKEN.fullmatch(body.join_token):
        raise Broken("invalid join token")
    return JoinRequest(
        token=body.join_token,
        remotes=tuple(remote(text) for text in body.remote_addrs),
        listen_address=with_port(body.listen_addr or LISTEN, "ListenAddr"),
        advertise_address=address(body.advertise_addr, "AdvertiseAddr"),
        data_path_address=address(body.data_path_addr, "DataPathAddr"),
        availability=availability(body.availability),
    )


def refuse_unsupported(spec: SwarmSpec) -> None:
    """Say no to what would otherwise be silently ignored. Raises `Invalid`, `Unsupported`.

    Clients send back what they were shown, so that passes.
    """
    if spec.name not in ("", SWARM_NAME):
        raise Invalid(
            "rpc error: code = InvalidArgument desc = modification of cluster name is not allowed"
        )
    if any(value and value != RAFT[name] for name, value in msgspec.to_builtins(spec.raft).items()):
        raise Unsupported(
            "settings of Raft (--snapshot-interval, --max-snapshots) are not supported: a swarm of "
            "Skep has no Raft"
        )
    if spec.encryption_config.auto_lock_managers:
        raise Unsupported("locking managers (--autolock) is not supported by this version of Skep")
    authority = spec.ca_config
    if authority.external_c_as:
        raise Unsupported("external CAs are not supported by this version of Skep")
    if authority.force_rotate or authority.signing_ca_cert or authority.signing_ca_key:
        raise Unsupported("rotating the CA is not supported by this version of Skep")


def certificate_days(nanoseconds: int) -> int:
    """A certificate's life in whole days; 0 is the usual one. Raises `Invalid` below an hour."""
    if not nanoseconds:
        return InitRequest().certificate_days
    if nanoseconds < DAY // 24:
        raise Invalid("minimum certificate expiry time is 1h0m0s")
    return max(1, nanoseconds // DAY)


def address(text: str, member: str) -> str:
    """An address or the name of an interface, with or without a port, as it is (IPv6 addresses in
    brackets); "" is nothing.

    Whether this host has it is not known here. Raises `Invalid`.
    """
    if not text:
        return ""
    if _is_ipv6(text):
        return _sixth(text, member)
    host, colon, port = text.partition(":")
    if colon and not port.isdecimal():
        raise Invalid(f"invalid port in {member}: {text}")
    if not _is_ipv4(host) and (NUMBERS.fullmatch(host) or not NAME.fullmatch(host)):
        raise Invalid(
            f"{member} must be an IP address or the name of a network interface, with or without "
            f"a port: {text} is neither"
        )
    return text


def _sixth(text: str, member: str) -> str:
    """An IPv6 address in its one way to write it, in brackets, with a port if there was one."""
    found = SIXTH.fullmatch(text)
    inner, port = (found["inner"], found["port"]) if found else (text, None)
    if port is not None and not port.isdecimal():
        raise Invalid(f"invalid port in {member}: {text}")
    try:
        address = ipaddress.IPv6Address(inner)
    except ValueError:
        raise Invalid(f"{member}: {text} is no IPv6 address") from None
    if address.is_link_local:
        raise Invalid(f"{member}: {text} means something else on every link: give another address")
    return f"[{address}]" + (f":{port}" if port is not None else "")


def remote(text: str) -> str:
    """Where a manager is: "address[:port]" or "host name[:port]". Raises as `address`."""
    host, colon, port = text.partition(":")
    if _is_ipv4(host) or _is_ipv6(text):
        return with_port(text, "RemoteAddrs")
    named = HOST.fullmatch(host) and not NUMBERS.fullmatch(host)
    if not named or (colon and not port.isdecimal()):
        raise Invalid(
            "RemoteAddrs must be IP addresses or names of hosts, with or without a port: "
            f"{text} is neither"
        )
    return text if colon else f"{text}:{PORT}"


def with_port(text: str, member: str) -> str:
    """The same as `address`, with the port 2377 if none was given."""
    checked = address(text, member)
    has_port = "]:" in checked if checked.startswith("[") else ":" in checked
    return checked if has_port else f"{checked}:{PORT}"


def availability(text: str) -> str:
    """active, pause or drain. Raises `Invalid`."""
    word = text.lower()
    if word not in AVAILABILITIES:
        raise Invalid(f"invalid Availability: {text!r}")
    return word or "active"


def pool(text: str) -> str:
    """An address pool in CIDR notation. Raises `Invalid`."""
    try:
        return str(ipaddress.IPv4Network(text, strict=False))
    except ValueError as fault:
        raise Invalid(f"invalid default address pool: {text} is no IPv4 prefix") from fault


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    return text.startswith("[") or text.count(":") > 1
