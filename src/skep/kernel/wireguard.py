"""WireGuard links: the kernel's module where there is one, else wireguard-go behind a tun device.

Either way the link's UDP socket stays in the host's namespace, in which it is made, while the link
itself is moved to the one it serves (see wireguard.com/netns). Source: wg(8).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

from skep.kernel.handles import Handle, Handles
from skep.kernel.rtnetlink import links
from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink.message import Message, Request
from skep.kernel.rtnetlink.socket import Refused
from skep.model.errors import Broken
from skep.model.netstate import HOST, Link
from skep.model.ops import AddLink
from skep.model.secure import KEEPALIVE, SeenPeer, SeenTunnel, Tunnel

PROGRAM = "wireguard-go"
SOCKETS = Path("/var/run/wireguard")
START_WITHIN = 10.0
"""Seconds that wireguard-go has to make its link."""
POLL = 0.01
ANSWER_WITHIN = 10.0
"""Seconds that ``wg`` has for anything."""

_TRIAL = "skep-wgtry"


def available(handles: Handles) -> str:
    """ "kernel", "wireguard-go", or "" for neither (or without ``wg``, which both need)."""
    if shutil.which("wg") is None:
        return ""
    sock = handles.get(HOST).socket
    trial = Link(name=_TRIAL, kind="wireguard", up=False)
    (refused,) = sock.send([links.create(trial, 0)])
    if refused is None:
        sock.send([links.delete(_TRIAL)])
        return "kernel"
    usable = shutil.which(PROGRAM) is not None and os.path.exists("/dev/net/tun")
    return "wireguard-go" if usable else ""


def make(handles: Handles, op: AddLink) -> None:
    """Make a WireGuard link in the host's namespace and move it to its own. Raises OSError."""
    home, there = handles.get(HOST), handles.get(op.ns)
    bare = Link(name=op.link.name, kind="wireguard", up=False)
    (refused,) = home.socket.send([links.create(bare, 0)])
    if refused is not None and refused.errno == errno.EOPNOTSUPP:
        _start(home, op.link.name)
    elif refused is not None and refused.errno != errno.EEXIST:
        raise OSError(refused.errno, refused.sentence)
    with there.descriptor() as target:
        _ok(home.socket.send([_moved(op.link.name, target)])[0])
    _ok(there.socket.send([links.change(op.link, 0)])[0])


def _moved(name: str, namespace_fd: int) -> Request:
    header = links.HEADER.pack(0, 0, 0, 0, 0)
    body = header + nl.text(links.NAME, name) + nl.number(links.NAMESPACE_FD, namespace_fd)
    return Request(links.NEWLINK, 0, body)


def _ok(refused: Refused | None) -> None:
    if refused is not None:
        raise OSError(refused.errno, refused.sentence)


def _start(home: Handle, name: str) -> None:
    """Have a wireguard-go make its link, which lives as long as it; it outlives us. Raises
    OSError."""
    (found,) = home.socket.ask([links.get(name)])
    if isinstance(found, Message) and _answers(name):
        return
    SOCKETS.mkdir(mode=0o700, exist_ok=True)
    log = SOCKETS / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAM, "-f", name], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, cwd="/", env=os.environ | {"LOG_LEVEL": "error"},
        )  # fmt: skip
    # The thread only takes its exit status.
    threading.Thread(target=process.wait, name=PROGRAM, daemon=True).start()
    deadline = time.monotonic() + START_WITHIN
    while not _answers(name):
        if process.poll() is not None:
            said = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise OSError(errno.EIO, f"{PROGRAM} ended with {process.returncode}: {said}")
        if time.monotonic() > deadline:
            process.kill()
            raise OSError(errno.ETIMEDOUT, f"{PROGRAM} does not answer")
        time.sleep(POLL)


def _answers(name: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as opened:
        try:
            opened.connect(str(SOCKETS / f"{name}.sock"))
        except OSError:
            return False
    return True


def read(link: str) -> SeenTunnel | None:
    """A link of the namespace that the calling thread is in; None if there is none that answers."""
    done = _wg("show", link, "dump")
    if done.returncode:
        return None
    first, *rest = done.stdout.splitlines()
    _, public, port, _ = first.split("\t")
    return SeenTunnel(public, int(port), tuple(_peer(line) for line in rest))


def _peer(line: str) -> SeenPeer:
    public, _, endpoint, allowed, handshake, received, sent, _ = line.split("\t")
    none = "(none)"
    return SeenPeer(
        public=public,
        endpoint="" if endpoint == none else endpoint,
        address="" if allowed == none else allowed,
        handshake=float(handshake),
        received=int(received),
        sent=int(sent),
    )


def write(tunnel: Tunnel) -> None:
    """Tell a link what it should be; what is so already goes on undisturbed. Raises `Broken`."""
    lines = [
        "[Interface]", f"PrivateKey = {tunnel.key.private}", f"ListenPort = {tunnel.key.port}",
    ]  # fmt: skip
    for peer in tunnel.peers:
        lines += [
            "[Peer]", f"PublicKey = {peer.public}", f"Endpoint = {peer.endpoint}",
            f"AllowedIPs = {peer.address}", f"PersistentKeepalive = {KEEPALIVE}",
        ]  # fmt: skip
    done = _wg("syncconf", tunnel.link, "/dev/stdin", said="\n".join(lines) + "\n")
    if done.returncode:
        raise Broken(f"{tunnel.link} cannot be set up: {done.stderr.strip()}")


def _wg(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        return subprocess.run(
            ["wg", *arguments], input=said, capture_output=True, text=True,
            timeout=ANSWER_WITHIN, check=False,
        )  # fmt: skip
    return subprocess.CompletedProcess(arguments, 1, "", "wg cannot be run, or does not end")
