"""What it costs packets that containers are held to their own addresses.

Run as root: ``bin/bench spoofing``. It makes a lab of two hosts with a name of its own, measures,
and takes it down again, in less than two minutes. README.md says how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from encrypted import UNITS, container, reached
from legs import traffic
from legs.command import Command, run
from legs.hosts import MANAGER, WORKER, Hosts, lab_of, wait_until
from legs.samples import Pairs, heading, row, turns

NETWORK = "guarded"
HELD = "3600"
PLACES = ("between two hosts", "on one host")
DORMANT, AWAKE = "add table bridge skep { flags dormant; }", "add table bridge skep"


def arguments() -> argparse.Namespace:
    """The command line."""
    command = Command("spoofing", __doc__)
    command.count("rounds", 9, "rounds of traffic each way")
    return command.options()


class Guards:
    """The rules of the network's namespace on both hosts, which sleep or are awake. Skep is told to
    leave the hosts as they are meanwhile."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        network = hosts.api(MANAGER, "GET", f"/networks/{NETWORK}")["Id"]
        self._namespace = f"/run/netns/1-{network[:10]}"
        for host in hosts.numbers:
            hosts.api(MANAGER, "POST", f"/skep/hold?host=h{host}&seconds={HELD}")

    def be(self, state: str) -> None:
        """Make the rules of both hosts so."""
        for host in self._hosts.numbers:
            inside = ("nsenter", f"--net={self._namespace}", "nft", state)
            subprocess.run(self._hosts.inside(host, *inside), check=True)


@contextmanager
def ways(hosts: Hosts) -> Iterator[dict[str, traffic.Way]]:
    """From a container of the manager's to one elsewhere, and to one beside it."""
    hosts.docker(MANAGER, "network", "create", "-d", "overlay", "--attachable", NETWORK)
    with ExitStack() as stack:
        here, _ = stack.enter_context(container(hosts, MANAGER, NETWORK))
        asker = stack.enter_context(traffic.running(hosts, MANAGER, here, "ask"))
        found = {}
        for place, host in zip(PLACES, (WORKER, MANAGER), strict=True):
            there, address = stack.enter_context(container(hosts, host, NETWORK))
            wait_until(partial(reached, hosts, here, address), "the network carries")
            server = stack.enter_context(traffic.running(hosts, host, there, "serve"))
            assert server.told() == "ready"
            found[place] = asker, address
        yield found


def compare(guards: Guards, way: traffic.Way, rounds: int) -> dict[str, Pairs]:
    """Rates without and with the rules, measured in turns."""
    works: Sequence[str] = tuple(traffic.SECONDS)
    taken = {work: {DORMANT: list[float](), AWAKE: list[float]()} for work in works}
    client, address = way
    for order in turns(DORMANT, AWAKE, rounds):
        for state in order:
            guards.be(state)
            for work in works:
                taken[work][state].append(client.rate(work, address))
    guards.be(AWAKE)
    return {work: Pairs(sides[DORMANT], sides[AWAKE]) for work, sides in taken.items()}


def main() -> None:
    """Measure and print."""
    options = arguments()
    with lab_of(2) as hosts, ways(hosts) as found:
        guards = Guards(hosts)
        results = {place: compare(guards, found[place], options.rounds) for place in PLACES}
    if options.json:
        print(json.dumps(results))
        return
    for place in PLACES:
        print(heading(place.capitalize(), "free", "held"))
        for work, pairs in results[place].items():
            print(row(UNITS[work][0], pairs, *UNITS[work][1:]))
    print("\nMedians; in brackets the quartiles of what each pair of turns gave.")


if __name__ == "__main__":
    run("spoofing", main)
