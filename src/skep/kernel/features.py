"""Whether the running kernel can do what Skep needs of it, by doing it in a namespace that nobody
else sees and that goes when it is done."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable

from skep.kernel.netns import CLONE_NEWNET
from skep.kernel.nftables import Library, Rejected
from skep.kernel.rtnetlink import links
from skep.kernel.rtnetlink.socket import Refused, Socket
from skep.model.netstate import Link, Vxlan

BALANCING = """
table ip skeptry {
  map backends { typeof meta mark . numgen inc mod 2 : ip daddr; elements = { 1 . 0 : 10.0.0.1 } }
  chain out { type nat hook output priority -100;
    dnat ip to meta mark . numgen inc mod 2 map @backends; }
}"""
MARKING = """
table ip skeptry {
  map entries { type ether_addr : mark; }
  chain in { type filter hook prerouting priority -150; ct state new ct mark set 7; }
  chain out { type route hook output priority -150; meta mark set ct mark; }
}"""
PUBLISHING = """
table ip skeptry {
  chain inner { return; }
  chain in { type nat hook prerouting priority -100; fib daddr type local jump inner; }
  chain out { type nat hook postrouting priority 100; masquerade; }
}"""
ISOLATING = """
table bridge skeptry {
  chain between { type filter hook forward priority 0; iifname "x" drop; }
}"""

TABLES = {
    "nftables balancing (nft_numgen, nft_nat)": BALANCING,
    "nftables marks (nft_ct, route hook)": MARKING,
    "nftables publishing (nft_fib, nft_masq)": PUBLISHING,
    "nftables on bridges (nf_tables_bridge)": ISOLATING,
}


def probe(library: Library) -> dict[str, str]:
    """Each feature's name, and "" or why it does not work. Takes some 50 ms."""
    found: dict[str, str] = {}
    thread = threading.Thread(target=_try_all, args=(library, found), name="features")
    thread.start()
    thread.join()
    return found


def _try_all(library: Library, found: dict[str, str]) -> None:
    """On a thread of its own: the namespace it makes goes with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) < 0:
        found["network namespaces"] = os.strerror(ctypes.get_errno())
        return
    found["network namespaces"] = ""
    socket = Socket()
    try:
        for name, link in (
            ("bridges (bridge)", Link(name="br", kind="bridge")),
            ("pairs of links (veth)", Link(name="ve", kind="veth")),
            (
                "tunnels (vxlan)",
                Link(name="vx", kind="vxlan", vxlan=Vxlan(4096, 4789, "127.0.0.1")),
            ),
        ):
            (answer,) = socket.send([links.create(link, 0)])
            found[name] = answer.sentence if isinstance(answer, Refused) else ""
    finally:
        socket.close()
    for name, text in TABLES.items():
        found[name] = _said(lambda text=text: _load(library, text))  # type: ignore[misc]


def _load(library: Library, text: str) -> None:
    with library.opened() as nft:
        nft.load(text)
        nft.load("flush ruleset")


def _said(work: Callable[[], None]) -> str:
    try:
        work()
    except Rejected as rejected:
        return str(rejected)
    return ""


def load(module: str) -> str:
    """Load a module of the kernel: "" or why it could not be."""
    try:
        done = subprocess.run(
            ["modprobe", "--", module], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the module {module} cannot be loaded: {error}"
    said = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else said[-1] if said else f"modprobe {module} failed"
