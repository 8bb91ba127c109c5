"""WireGuard links: the kernel's module where there is one, else wireguard-go behind a tun device.

Either way the link's UDP socket stays in the host's namespace, in which it is made, while the link
itself is moved to the one it serves (see wireguard.com/netns). Source: wg(8).
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import subprocess
import threading
from asyncio.subprocess import PIPE
from pathlib import Path

from skep.kernel.handles import Handles
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
STDIN = "/proc/self/fd/0"
"""A file to wg, which takes no other. Not every system has /dev/stdin."""
ANSWER_WITHIN = 10.0
"""Seconds that ``wg`` has for anything."""

_TRIAL = "skep-wgtry"


def available(handles: Handles) -> str:
    """ "kernel", "wireguard-go", or "" for neither (or without ``wg``, which both need)."""
    if shutil.which("wg") is None:
        return ""
    sock = handles.get(HOST).socket
    (refused,) = sock.send([_bare(_TRIAL)])
    if refused is None:
        sock.send([links.delete(_TRIAL)])
        return "kernel"
    usable = shutil.which(PROGRAM) is not None and os.path.exists("/dev/net/tun")
    return "wireguard-go" if usable else ""


def start(handles: Handles, name: str) -> subprocess.Popen[bytes] | None:
    """Have a link of this name begin to exist in the host's namespace. The kernel's own is there at
    once; for wireguard-go's, whose process is answered, see `started`. What fails is for `make` to
    tell."""
    home = handles.get(HOST)
    (refused,) = home.socket.send([_bare(name)])
    if refused is None or refused.errno != errno.EOPNOTSUPP or shutil.which(PROGRAM) is None:
        return None
    (found,) = home.socket.ask([links.get(name)])
    if isinstance(found, Message) and answers(name):
        return None
    SOCKETS.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _log(name).open("wb") as output:
        process = subprocess.Popen(
            [PROGRAM, "-f", name], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, cwd="/", env=os.environ | {"LOG_LEVEL": "error"},
        )  # fmt: skip
    # It outlives us. The thread only takes its exit status.
    threading.Thread(target=process.wait, name=PROGRAM, daemon=True).start()
    return process


async def started(process: subprocess.Popen[bytes], name: str) -> None:
    """Wait until wireguard-go answers for its link, has ended, or `START_WITHIN` is over: then it
    is killed."""
    try:
        async with asyncio.timeout(START_WITHIN):
            while process.poll() is None and not answers(name):
                await asyncio.sleep(POLL)
    except TimeoutError:
        process.kill()


def make(handles: Handles, op: AddLink) -> None:
    """Make a WireGuard link in the host's namespace, or take the one that is there, and move it to
    its own. Nothing is waited for: wireguard-go is `started` before. Raises OSError."""
    home, there = handles.get(HOST), handles.get(op.ns)
    (refused,) = home.socket.send([_bare(op.link.name)])
    if refused is not None and refused.errno == errno.EOPNOTSUPP:
        if not answers(op.link.name):
            raise OSError(errno.EIO, _why(op.link.name))
    elif refused is not None and refused.errno != errno.EEXIST:
        raise OSError(refused.errno, refused.sentence)
    with there.descriptor() as target:
        _ok(home.socket.send([_moved(op.link.name, target)])[0])
    _ok(there.socket.send([links.change(op.link, 0)])[0])


def _bare(name: str) -> Request:
    return links.create(Link(name=name, kind="wireguard", up=False), 0)


def _log(name: str) -> Path:
    return SOCKETS / f"{name}.log"


def _why(name: str) -> str:
    """Why nobody answers for a link."""
    if shutil.which(PROGRAM) is None:
        return f"the kernel has no WireGuard, and there is no {PROGRAM}"
    try:
        said = _log(name).read_text(errors="replace").strip().rpartition("\n")[2]
    except OSError:
        said = ""
    return f"{PROGRAM} does not answer" + (f": {said}" if said else "")


def _moved(name: str, namespace_fd: int) -> Request:
    header = links.HEADER.pack(0, 0, 0, 0, 0)
    body = header + nl.text(links.NAME, name) + nl.number(links.NAMESPACE_FD, namespace_fd)
    return Request(links.NEWLINK, 0, body)


def _ok(refused: Refused | None) -> None:
    if refused is not None:
        raise OSError(refused.errno, refused.sentence)


def answers(name: str) -> bool:
    """Whether a wireguard-go is there for a link."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as opened:
        try:
            opened.connect(str(SOCKETS / f"{name}.sock"))
        except OSError:
            return False
    return True


class WireGuard:
    """WireGuard's links in the namespace that is pinned at ``path``. ``wg`` is a program of its own
    and may have to wait for wireguard-go, so the namespace thread is left alone."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def read(self, link: str) -> SeenTunnel | None:
        """A link as it is; None if there is none that answers."""
        code, said, _ = await self._wg("show", link, "dump")
        return None if code else parsed(said)

    async def write(self, tunnel: Tunnel) -> None:
        """Tell a link what it should be; what is so already goes on undisturbed. Raises
        `Broken`."""
        code, _, said = await self._wg("syncconf", tunnel.link, STDIN, said=spelled(tunnel))
        if code:
            raise Broken(f"{tunnel.link} cannot be set up: {said.strip()}")

    async def _wg(self, *arguments: str, said: str = "") -> tuple[int, str, str]:
        # Keys are neither for the disk nor for a pipe, which uvloop cannot write to once its reader
        # has gone.
        try:
            stdin = os.memfd_create("wg")
        except OSError as error:
            return 1, "", f"wg cannot be told: {error.strerror}"
        try:
            os.write(stdin, said.encode())
            process = await asyncio.create_subprocess_exec(
                "nsenter", f"--net={self._path}", "wg", *arguments, stdin=stdin, stdout=PIPE,
                stderr=PIPE,
            )  # fmt: skip
        except OSError as error:
            return 1, "", f"wg cannot be run: {error.strerror}"
        finally:
            os.close(stdin)
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                output, complaints = await process.communicate()
        except TimeoutError:
            return 1, "", f"wg does not end within {ANSWER_WITHIN:.0f} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode(), complaints.decode(errors="replace")


def parsed(dump: str) -> SeenTunnel:
    """What ``wg show LINK dump`` says."""
    first, *rest = dump.splitlines()
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


def spelled(tunnel: Tunnel) -> str:
    """A link as ``wg syncconf`` is told of it."""
    lines = [
        "[Interface]", f"PrivateKey = {tunnel.key.private}", f"ListenPort = {tunnel.key.port}",
    ]  # fmt: skip
    for peer in tunnel.peers:
        lines += [
            "[Peer]", f"PublicKey = {peer.public}", f"Endpoint = {peer.endpoint}",
            f"AllowedIPs = {peer.address}", f"PersistentKeepalive = {KEEPALIVE}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"
