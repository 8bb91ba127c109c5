"""What encryption costs each packet: an encrypted network beside a clear one, and the underlay.

Run as root: ``bin/bench encrypted``. It makes a lab of two hosts with a name of its own, measures,
and takes it down again, in less than two minutes. README.md says how to read what it prints.

``--guest`` does it in an emulated machine whose kernel has WireGuard, in ten to fifteen minutes:
figures are small there, only their ratios mean something.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

from legs import peer, traffic
from legs.command import Command, run
from legs.hosts import MANAGER, WORKER, Hosts, lab_of, wait_until
from legs.samples import Pairs, heading, row
from legs.starts import COMMAND, IMAGE

NETWORKS = {"clear": (), "encrypted": ("-o", "encrypted")}
UNITS = {
    peer.BULK: ("one connection, bulk", "Gb/s", 1 / traffic.BYTES_PER_GBIT),
    peer.PINGS: ("round trips", "1/s", 1.0),
    peer.CONNECTS: ("connect, ask, close", "1/s", 1.0),
}
COMPARED = (("underlay", "clear"), ("underlay", "encrypted"), ("clear", "encrypted"))

GUEST_SECONDS = "1800"

Results = dict[str, dict[str, Pairs]]


def arguments() -> argparse.Namespace:
    """The command line."""
    command = Command("encrypted", __doc__)
    command.count("rounds", 5, "rounds of traffic each way")
    command.parser.add_argument(
        "--guest", action="store_true", help="in an emulated machine, by the kernel's WireGuard"
    )
    return command.options()


@contextmanager
def container(hosts: Hosts, host: int, network: str) -> Iterator[tuple[str, str]]:
    """A container on a network: where its namespace is pinned, and its address."""
    found = hosts.docker(host, "run", "-d", "--network", network, IMAGE, *COMMAND)
    try:
        shown = hosts.api(host, "GET", f"/containers/{found}/json")["NetworkSettings"]
        yield hosts.sandbox(host, found), str(shown["Networks"][network]["IPAddress"])
    finally:
        hosts.docker(host, "rm", "-f", found)


@contextmanager
def ways(hosts: Hosts) -> Iterator[dict[str, traffic.Way]]:
    """The three ways from one host to the other."""
    with ExitStack() as stack:

        def client(host: int, namespace: str, task: str) -> traffic.Peer:
            return stack.enter_context(traffic.running(hosts, host, namespace, task))

        assert client(WORKER, "", "serve").told() == "ready"
        found = {"underlay": (client(MANAGER, "", "ask"), hosts.address(WORKER))}
        for network, options in NETWORKS.items():
            hosts.docker(MANAGER, "network", "create", "-d", "overlay", "--attachable",
                         *options, network)  # fmt: skip
            there, address = stack.enter_context(container(hosts, WORKER, network))
            here, _ = stack.enter_context(container(hosts, MANAGER, network))
            wait_until(partial(reached, hosts, here, address), f"the {network} network carries")
            assert client(WORKER, there, "serve").told() == "ready"
            found[network] = client(MANAGER, here, "ask"), address
        yield found


def reached(hosts: Hosts, namespace: str, address: str) -> bool:
    """Whether an address answers."""
    ping = ("busybox", "ping", "-c1", "-W1", address)
    command = hosts.inside(MANAGER, "nsenter", f"--net={namespace}", *ping)
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def encrypter(hosts: Hosts) -> str:
    """Who encrypts."""
    command = hosts.inside(MANAGER, "ip", "-n", "skep-secure", "-d", "-j", "link")
    links = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    kinds = {link["linkinfo"]["info_kind"] for link in links if "linkinfo" in link}
    return "the kernel's WireGuard" if "wireguard" in kinds else "wireguard-go"


def in_guest(options: argparse.Namespace) -> NoReturn:
    """Do it where the kernel has WireGuard."""
    boot = Path(__file__).parent.parent / "tests/guest/boot.py"
    more = ["--json"] if options.json else []
    command = [sys.executable, __file__, "--rounds", str(options.rounds), *more]
    os.execv(sys.executable, [sys.executable, str(boot), "--seconds", GUEST_SECONDS, *command])


def main() -> None:
    """Measure and print."""
    options = arguments()
    if options.guest:
        in_guest(options)
    with lab_of(2) as hosts, ways(hosts) as found:
        by = encrypter(hosts)
        results: Results = {
            f"{base} {other}": traffic.compare(
                found[base], found[other], tuple(traffic.SECONDS), options.rounds
            )
            for base, other in COMPARED
        }
    if options.json:
        print(json.dumps({"by": by} | results))
        return
    print(f"Encrypted by {by}.")
    for base, other in COMPARED:
        print(heading("Between two hosts", base, other))
        for work, pairs in results[f"{base} {other}"].items():
            print(row(UNITS[work][0], pairs, *UNITS[work][1:]))
    print("\nMedians; in brackets the quartiles of what each pair of turns gave.")


if __name__ == "__main__":
    run("encrypted", main)
