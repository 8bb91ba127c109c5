"""The network between hosts: a bridge in a namespace of its own, with no way out.

Every host is plugged in by a veth pair whose far end is made inside the host's namespace; nothing
is ever in the machine's own. Cutting two hosts apart is a pair of names in an nftables set.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from skep.lab import system
from skep.lab.layout import MTU, PREFIX_LENGTH, PREFIX_LENGTH6, Host, Lab
from skep.lab.records import Process
from skep.model.errors import Broken

_TABLE = "bridge skep_lab"
_RULES = """
table bridge skep_lab {
  set cuts { type ifname . ifname; }
  chain forward {
    type filter hook forward priority 0; policy accept;
    meta iifname . meta oifname @cuts drop
  }
}
"""


def make(lab: Lab) -> None:
    """Make the switch's namespace, bridge and rules. Raises `Broken`."""
    lab.switch.touch()
    # util-linux pins the new namespace on the file before it runs the program.
    system.run([_program("unshare"), f"--net={lab.switch}", "true"])
    _ip(
        lab.switch,
        "link set lo up",
        f"link add br0 mtu {MTU} type bridge forward_delay 0 mcast_snooping 0",
        "link set br0 up",
    )
    _nft(lab, _RULES)


def plug(lab: Lab, host: Host, init: Process) -> None:
    """Connect a host: eth0 with its address on the host's side, a port named like it on ours."""
    inside = Path(f"/proc/{init.pid}/ns/net")
    _ip(
        lab.switch,
        f"link add {host.name} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {init.pid}",
        f"link set {host.name} master br0 up",
    )
    _ip(
        inside,
        "link set lo up",
        f"address add {host.address}/{PREFIX_LENGTH} broadcast + dev eth0",
        f"address add {host.address6}/{PREFIX_LENGTH6} dev eth0 nodad",
        "link set eth0 up",
    )


def unplug(lab: Lab, host: Host) -> None:
    """Take a host's port away, if it is still there."""
    with suppress(Broken):  # it goes with its host, at a moment that the kernel chooses
        _ip(lab.switch, f"link del {host.name}")


def cut(lab: Lab, one: Host, other: Host) -> None:
    """Let nothing pass between two hosts. Does nothing if that is so already."""
    _nft(lab, f"add element {_TABLE} cuts {_both_ways(one, other)}\n")


def heal(lab: Lab, one: Host, other: Host) -> None:
    """Let two hosts reach each other again. Does nothing if they do."""
    pair = _both_ways(one, other)
    # Deleting what is not there fails, so make sure that it is.
    _nft(lab, f"add element {_TABLE} cuts {pair}\ndelete element {_TABLE} cuts {pair}\n")


def cuts(lab: Lab) -> list[tuple[str, str]]:
    """Pairs of hosts that are cut apart, each once."""
    listed = system.run([*_inside(lab.switch), _program("nft"), "-j", "list", "ruleset"])
    sets = [item["set"] for item in json.loads(listed)["nftables"] if "set" in item]
    pairs = [element["concat"] for found in sets for element in found.get("elem", [])]
    return sorted((one, other) for one, other in pairs if _number(one) < _number(other))


def remove(lab: Lab) -> None:
    """Let go of the switch; it ends with its last port's host."""
    with suppress(OSError):  # not mounted, or never made
        system.unmount(str(lab.switch))
    lab.switch.unlink(missing_ok=True)


def _number(port: str) -> int:
    return int(port[1:])


def _both_ways(one: Host, other: Host) -> str:
    return f'{{ "{one.name}" . "{other.name}", "{other.name}" . "{one.name}" }}'


def _program(name: str) -> str:
    return system.program(name)


def _inside(namespace: Path) -> list[str]:
    return [_program("nsenter"), f"--net={namespace}"]


def _ip(namespace: Path, *commands: str) -> None:
    system.run([*_inside(namespace), _program("ip"), "-batch", "-"], "\n".join(commands) + "\n")


def _nft(lab: Lab, script: str) -> None:
    system.run([*_inside(lab.switch), _program("nft"), "-f", "-"], script)
