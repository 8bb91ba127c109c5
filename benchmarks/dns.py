"""What an answer costs: CPU of skep-dns per question, beside a server that only echoes.

Run as root: ``python benchmarks/dns.py [questions]``. It makes a network namespace of its own,
starts a real skep-dns, asks it from inside, and reads the process's CPU time before and after.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvloop

from skep.dns.client import DnsClient
from skep.dns.supervise import ensure
from skep.kernel import netns
from skep.model.naming import RESOLVER, RESOLVER_PORT, NameTable, NetworkNames, SandboxNames

NAMES = 1000
WINDOW = 64
TICKS = os.sysconf("SC_CLK_TCK")


def question(name: str) -> bytes:
    """A plain question for a name's addresses; the sender fills in the id."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"


def table(box: str) -> NameTable:
    """A network with many services, and one with many tasks."""
    addresses: dict[str, tuple[str, ...]] = {
        f"s{n}": (f"10.0.{n >> 8}.{n & 255}",) for n in range(NAMES)
    }
    addresses["many"] = tuple(f"10.1.0.{n}" for n in range(1, 9))
    network = NetworkNames(id="N", name="net", addresses=addresses)
    return NameTable(
        networks={"N": network}, sandboxes={box: SandboxNames(namespace=box, networks=("N",))}
    )


def load(target: tuple[str, int], questions: list[bytes], count: int) -> None:
    """Ask ``count`` questions, a window of them at a time, and take in all replies."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(target)
        for first in range(0, count, WINDOW):
            for n in range(first, first + WINDOW):
                sock.send((n & 0xFFFF).to_bytes(2, "big") + questions[n % len(questions)])
            for _ in range(WINDOW):
                sock.recv(4096)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def cost(pid: int, work: Callable[[int], None], count: int) -> float:
    """Microseconds of the process's CPU per question, after a round to warm up."""
    work(2 * NAMES)
    before = cpu_of(pid)
    work(count)
    return (cpu_of(pid) - before) / count * 1e6


async def echo(sock: socket.socket) -> None:
    """The cheapest server that there can be with the same loop."""

    def read() -> None:
        receive, send = sock.recvfrom, sock.sendto
        try:
            for _ in range(WINDOW):
                data, asker = receive(4096)
                send(data, asker)
        except BlockingIOError:
            return

    asyncio.get_running_loop().add_reader(sock, read)
    await asyncio.Event().wait()


@contextmanager
def echo_server(port: int) -> Iterator[int]:
    """An echo server in a process of its own, in the calling thread's namespace: its pid."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.bind((RESOLVER, port))
    pid = os.fork()
    if not pid:
        uvloop.run(echo(sock))
    sock.close()
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


async def start(directory: Path, box: str) -> int:
    """A skep-dns with the table in force: its pid."""
    control = directory / "dns.sock"
    await ensure(control, directory / "dns.log", directory)
    client = DnsClient(control)
    faults = await client.sync(table(box))
    assert not faults, faults
    pid = await client.ping()
    await client.close()
    return pid


def measure(pid: int, count: int) -> None:
    """Print the costs, from inside the sandbox."""
    single = [question(f"s{n}.net") for n in range(NAMES)]
    ours = (RESOLVER, RESOLVER_PORT)
    with echo_server(RESOLVER_PORT + 1) as echoing:
        plain = cost(echoing, partial(load, (RESOLVER, RESOLVER_PORT + 1), single), count)
    rows = [
        ("echo", plain),
        ("kept answer", cost(pid, partial(load, ours, single), count)),
        ("8 tasks, shuffled", cost(pid, partial(load, ours, [question("many")]), count // 4)),
        ("unknown name", cost(pid, partial(load, ours, [question("x.net")]), count // 4)),
    ]
    print(f"{'':20}{'µs CPU':>8}{'of echo':>10}{'beyond it':>12}")
    for name, value in rows:
        print(f"{name:20}{value:8.2f}{value / plain:9.2f}x{value - plain:+9.2f} µs")


def main() -> None:
    """Measure in a namespace that is gone afterwards."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        path = str(directory / "box")
        netns.create(path)
        pid = 0
        try:
            subprocess.run(
                ["nsenter", f"--net={path}", "ip", "link", "set", "lo", "up"], check=True
            )
            pid = asyncio.run(start(directory, "box"))
            netns.NamespaceThread().call(path, partial(measure, pid, count // WINDOW * WINDOW))
        finally:
            if pid:
                os.kill(pid, signal.SIGTERM)
            netns.remove(path)


if __name__ == "__main__":
    main()
