"""``skep swarm``."""

from __future__ import annotations

import getpass
import ipaddress
import sys
from collections.abc import Mapping
from typing import Any

from skep.cli.api import Api, Refused, reference
from skep.cli.command import Call, Command, Failure, help_text
from skep.cli.flags import (
    DURATION,
    INTEGER,
    NATURAL,
    SWITCH,
    Flag,
    Kind,
    Options,
    csv_fields,
)
from skep.cli.syntax.textfile import text_of
from skep.model.errors import Invalid

_DEFAULT_LISTEN = "0.0.0.0:2377"
_PORT = ":2377"


def external_ca(text: str) -> dict[str, Any]:
    """``--external-ca protocol=cfssl,url=…``."""
    found: dict[str, Any] = {"Options": {}}
    for field in csv_fields(text):
        key, given, value = field.partition("=")
        if not given:
            raise Invalid(f"invalid field '{field}' must be a key=value pair")
        if key.lower() == "protocol":
            if value.lower() != "cfssl":
                raise Invalid(f"unrecognized external CA protocol {value}")
            found["Protocol"] = "cfssl"
        elif key.lower() == "url":
            found["URL"] = value
        elif key.lower() == "cacert":
            found["CACert"] = text_of(value)
        else:
            found["Options"][key] = value
    if "Protocol" not in found:
        raise Invalid("the external-ca option needs a protocol= parameter")
    if "URL" not in found:
        raise Invalid("the external-ca option needs a url= parameter")
    return found


def listen_address(text: str) -> str:
    """An address with its port, 2377 if none is given."""
    if not text:
        raise Invalid("invalid proto, expected tcp: ")
    host, _, port = text.rpartition(":")
    return text if host and port.isdigit() else f"{text}{_PORT}"


def address_pools(text: str) -> list[str]:
    """Prefixes, separated by commas."""
    fields = csv_fields(text)
    for field in fields:
        try:
            proper = "/" in field and ipaddress.ip_network(field, strict=False)
        except ValueError:
            proper = False
        if not proper:
            raise Invalid(f"invalid string being converted to CIDR: {field}")
    return fields


POOLS = Kind("ipNetSlice", address_pools, many=True, spread=True)
EXTERNAL_CA = Kind("external-ca", external_ca, many=True)
LISTEN = Kind("node-addr", listen_address)


def changed_spec(spec: dict[str, Any], options: Options) -> dict[str, Any]:
    """A swarm's spec, changed as the options of init, update and ca say."""
    changes = (
        ("task-history-limit", "Orchestration", "TaskHistoryRetentionLimit"),
        ("dispatcher-heartbeat", "Dispatcher", "HeartbeatPeriod"),
        ("cert-expiry", "CAConfig", "NodeCertExpiry"),
        ("external-ca", "CAConfig", "ExternalCAs"),
        ("max-snapshots", "Raft", "KeepOldSnapshots"),
        ("snapshot-interval", "Raft", "SnapshotInterval"),
        ("autolock", "EncryptionConfig", "AutoLockManagers"),
    )
    for option, part, member in changes:
        if options.has(option):
            spec[part] = {**(spec.get(part) or {}), member: options.get(option)}
    return spec


def _init(call: Call) -> None:
    options = call.options
    body: dict[str, Any] = {
        "ListenAddr": options.text("listen-addr", _DEFAULT_LISTEN),
        "AdvertiseAddr": options.text("advertise-addr"),
        "DataPathAddr": options.text("data-path-addr"),
        "DataPathPort": options.get("data-path-port", 0),
        "DefaultAddrPool": options.all("default-addr-pool"),
        "SubnetSize": options.get("default-addr-pool-mask-length", 24),
        "ForceNewCluster": options.switch("force-new-cluster"),
        "AutoLockManagers": options.switch("autolock"),
        "Spec": changed_spec({}, options),
    }
    body |= _availability(options)
    try:
        node = call.api.post("/swarm/init", body)
    except Refused as refused:
        if "could not choose an IP address to advertise" in refused.message:
            raise Failure(f"{refused} - specify one with --advertise-addr") from refused
        raise
    print(f"Swarm initialized: current node ({node}) is now a manager.\n")
    _print_join(call.api, node, "worker")
    print("To add a manager to this swarm, run 'skep swarm join-token manager' and follow the "
          "instructions.")  # fmt: skip
    if options.switch("autolock"):
        _print_unlock(call.api.get("/swarm/unlockkey")["UnlockKey"])


def _availability(options: Options) -> dict[str, str]:
    """The availability that a host begins with, if one was given. Raises `Failure`."""
    if not options.has("availability"):
        return {}
    word = options.text("availability")
    if word.lower() not in ("active", "pause", "drain"):
        raise Failure(f'invalid availability "{word}", only active, pause and drain are supported')
    return {"Availability": word.lower()}


def _print_join(api: Api, node: str, role: str) -> None:
    """How to join as worker or manager."""
    manager = api.get(f"/nodes/{reference(node)}").get("ManagerStatus")
    if not manager:
        return
    token = api.get("/swarm")["JoinTokens"][role.capitalize()]
    print(f"To add a {role} to this swarm, run the following command:\n")
    print(f"    skep swarm join --token {token} {manager['Addr']}\n")


def _print_unlock(key: str) -> None:
    if not key:
        return
    print("To unlock a swarm manager after it restarts, run the `skep swarm unlock`\n"
          f"command and provide the following key:\n\n    {key}\n\n"
          "Remember to store this key in a password manager, since without it you\n"
          "will not be able to restart the manager.")  # fmt: skip


def _join(call: Call) -> None:
    options = call.options
    body: dict[str, Any] = {
        "JoinToken": options.text("token"),
        "ListenAddr": options.text("listen-addr", _DEFAULT_LISTEN),
        "AdvertiseAddr": options.text("advertise-addr"),
        "DataPathAddr": options.text("data-path-addr"),
        "RemoteAddrs": [call.arguments[0]],
    }
    body |= _availability(options)
    call.api.post("/swarm/join", body)
    manager = call.api.get("/info").get("Swarm", {}).get("ControlAvailable")
    print(f"This node joined a swarm as a {'manager' if manager else 'worker'}.")


def _leave(call: Call) -> None:
    call.api.post("/swarm/leave", force=call.options.switch("force"))
    print("Node left the swarm.")


def _post_update(api: Api, swarm: Mapping[str, Any], rotate: str = "") -> None:
    """Write the swarm's spec back, rotating "WorkerToken", "ManagerToken", "ManagerUnlockKey"."""
    names = ("WorkerToken", "ManagerToken", "ManagerUnlockKey")
    flags = {f"rotate{name}": str(name == rotate).lower() for name in names}
    api.post("/swarm/update", swarm["Spec"], version=swarm["Version"]["Index"], **flags)


def _update(call: Call) -> int:
    if not call.options.names:
        print(help_text(next(each for each in COMMANDS if each.name == "update"), call.name))
        return 0
    swarm = call.api.get("/swarm")
    locked = bool((swarm["Spec"].get("EncryptionConfig") or {}).get("AutoLockManagers"))
    changed_spec(swarm["Spec"], call.options)
    _post_update(call.api, swarm)
    print("Swarm updated.")
    if call.options.switch("autolock") and not locked:
        _print_unlock(call.api.get("/swarm/unlockkey")["UnlockKey"])
    return 0


def _join_token(call: Call) -> None:
    role = call.arguments[0]
    if role not in ("worker", "manager"):
        raise Failure("unknown role " + role)
    quiet = call.options.switch("quiet")
    if call.options.switch("rotate"):
        _post_update(call.api, call.api.get("/swarm"), f"{role.capitalize()}Token")
        if not quiet:
            print(f"Successfully rotated {role} join token.\n")
    if quiet:
        print(call.api.get("/swarm")["JoinTokens"][role.capitalize()])
        return
    call.api.get("/swarm")
    node = call.api.get("/info")["Swarm"]["NodeID"]
    _print_join(call.api, node, role)


def _ca(call: Call) -> int:
    options = call.options
    changing = ("cert-expiry", "external-ca", "ca-cert", "ca-key")
    swarm = call.api.get("/swarm")
    if not options.switch("rotate"):
        given = [name for name in changing if options.has(name)]
        if given:
            raise Failure(f"`--{given[0]}` flag requires the `--rotate` flag to update the CA")
        if not (swarm.get("TLSInfo") or {}).get("TrustRoot"):
            raise Failure("No CA information available")
        print(swarm["TLSInfo"]["TrustRoot"].rstrip("\n"))
        return 0
    spec = changed_spec(swarm["Spec"], options)
    authority = spec.setdefault("CAConfig", {})
    authority["ForceRotate"] = authority.get("ForceRotate", 0) + 1
    for option, member in (("ca-cert", "SigningCACert"), ("ca-key", "SigningCAKey")):
        authority[member] = text_of(options.text(option)) if options.has(option) else ""
    _post_update(call.api, swarm)
    if not options.switch("detach"):
        print(call.api.get("/swarm")["TLSInfo"]["TrustRoot"].rstrip("\n"))
    return 0


def _unlock_key(call: Call) -> None:
    quiet = call.options.switch("quiet")
    if call.options.switch("rotate"):
        swarm = call.api.get("/swarm")
        if not (swarm["Spec"].get("EncryptionConfig") or {}).get("AutoLockManagers"):
            raise Failure("cannot rotate because autolock is not turned on")
        _post_update(call.api, swarm, "ManagerUnlockKey")
        if not quiet:
            print("Successfully rotated manager unlock key.\n")
    key = call.api.get("/swarm/unlockkey").get("UnlockKey", "")
    if not key:
        raise Failure("no unlock key is set")
    if quiet:
        print(key)
    else:
        _print_unlock(key)


def _unlock(call: Call) -> None:
    state = call.api.get("/info").get("Swarm", {}).get("LocalNodeState", "inactive")
    if state != "locked":
        said = {"inactive": "This node is not part of a swarm"}
        raise Failure(f"Error: {said.get(state, 'swarm is not locked')}")
    ask = getpass.getpass if sys.stdin.isatty() else lambda _: sys.stdin.readline().strip()
    call.api.post("/swarm/unlock", {"UnlockKey": ask("Enter unlock key: ")})


_SPEC_FLAGS = (
    Flag("autolock", "Change manager autolocking setting (true|false)", SWITCH),
    Flag("cert-expiry", "Validity period for node certificates (default 2160h0m0s)", DURATION),
    Flag("dispatcher-heartbeat", "Dispatcher heartbeat period (default 5s)", DURATION),
    Flag("external-ca", "Specifications of certificate signing endpoints", EXTERNAL_CA),
    Flag("max-snapshots", "Number of additional Raft snapshots to retain", NATURAL),
    Flag("snapshot-interval", "Number of log entries between Raft snapshots", NATURAL),
    Flag("task-history-limit", "Task history retention limit (default 5)", INTEGER),
)
_NODE_FLAGS = (
    Flag("advertise-addr", 'Advertised address (format: "<ip|interface>[:port]")'),
    Flag("availability", 'Availability of the node ("active", "pause", "drain")'),
    Flag("data-path-addr", "Address or interface to use for data path traffic"),
    Flag("listen-addr", "Listen address (default 0.0.0.0:2377)", LISTEN),
)
_INIT_FLAGS = (
    *_SPEC_FLAGS,
    *_NODE_FLAGS,
    Flag("data-path-port", "Port number to use for data path traffic (default 4789)", NATURAL),
    Flag("default-addr-pool", "default address pool in CIDR format", POOLS),
    Flag("default-addr-pool-mask-length", "default pool's subnet mask length (24)", NATURAL),
    Flag("force-new-cluster", "Force create a new cluster from current state", SWITCH),
)
_QUIET = Flag("quiet", "Only display token", SWITCH, "q")
_CA_FLAGS = (
    Flag("ca-cert", "Path to the PEM-formatted root CA certificate to use"),
    Flag("ca-key", "Path to the PEM-formatted root CA key to use"),
    *(flag for flag in _SPEC_FLAGS if flag.name in ("cert-expiry", "external-ca")),
    Flag("detach", "Do not wait for the root rotation to converge", SWITCH, "d"),
    Flag("quiet", "Suppress progress output", SWITCH, "q"),
    Flag("rotate", "Rotate the swarm CA", SWITCH),
)
COMMANDS = (
    Command(name="ca", usage="[OPTIONS]", run=_ca, flags=_CA_FLAGS,
            summary="Display and rotate the root CA"),
    Command(name="init", usage="[OPTIONS]", run=_init, flags=_INIT_FLAGS,
            summary="Initialize a swarm"),
    Command(name="join", usage="[OPTIONS] HOST:PORT", run=_join, least=1, most=1,
            summary="Join a swarm as a node and/or manager",
            flags=(*_NODE_FLAGS, Flag("token", "Token for entry into the swarm"))),
    Command(name="join-token", usage="[OPTIONS] (worker|manager)", run=_join_token, least=1,
            most=1, summary="Manage join tokens",
            flags=(_QUIET, Flag("rotate", "Rotate join token", SWITCH))),
    Command(name="leave", usage="[OPTIONS]", run=_leave, summary="Leave the swarm",
            flags=(Flag("force", "Force this node to leave the swarm", SWITCH, "f"),)),
    Command(name="unlock", usage="", run=_unlock, summary="Unlock swarm"),
    Command(name="unlock-key", usage="[OPTIONS]", run=_unlock_key,
            summary="Manage the unlock key",
            flags=(_QUIET, Flag("rotate", "Rotate unlock key", SWITCH))),
    Command(name="update", usage="[OPTIONS]", run=_update, flags=_SPEC_FLAGS,
            summary="Update the swarm"),
)  # fmt: skip
