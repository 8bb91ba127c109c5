"""What a network costs: in time to start a container, in processor time, and to each packet.

Run as root: ``bin/bench road``. It makes a lab of two hosts with a name of its own, measures, and
takes it down again, in less than four minutes. README.md says how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence

from legs import endpoints, peer, starts, traffic
from legs.command import Command, run, tell
from legs.hosts import MANAGER, lab_of
from legs.samples import Pairs, heading, likely, row

GOAL = 0.010
"""Seconds that a network may add to ``docker run -d``."""

Results = dict[str, dict[str, Pairs]]
STARTS, FIRSTS, ENDPOINT = "starting", "starting the first", "endpoint"
OVERLAY, SERVICE = "overlay", "service"


def arguments() -> argparse.Namespace:
    """The command line."""
    command = Command("road", __doc__)
    command.count("pairs", 30, "containers started each way")
    command.count("firsts", 8, "the same for a network's first")
    command.count("endpoints", 50, "endpoints made each way")
    command.count("rounds", 8, "rounds of traffic each way")
    return command.options()


def measured(options: argparse.Namespace) -> Results:
    """All measurements, in the order in which they are told. Progress goes to standard error."""
    results: Results = {}
    tell("endpoints, without a lab")
    results[ENDPOINT] = endpoints.measure(options.endpoints)
    tell("making a lab")
    with lab_of(2) as hosts:
        hosts.docker(MANAGER, "network", "create", "-d", "overlay", "--attachable", starts.NETWORK)
        tell("starting containers")
        results[STARTS] = starts.measure(hosts, options.pairs)
        tell("starting the first container of a network")
        results[FIRSTS] = starts.measure_first(hosts, options.firsts)
        tell("traffic")
        results[OVERLAY], results[SERVICE] = traffic.measure(hosts, options.rounds)
    return results


def report(results: Results) -> Sequence[str]:
    """What people read."""
    lines = [heading("Starting a container", "none", "overlay")]
    lines += rows(results[STARTS], "ms", 1e3)
    lines += verdict(results[STARTS][starts.CLI], "Docker Engine adds 310 ms")
    lines.append(heading("The network's first here", "none", "overlay"))
    lines += rows(results[FIRSTS], "ms", 1e3)
    lines += verdict(results[FIRSTS][starts.CLI], "Docker Engine adds 808 ms")
    lines.append(heading("One more endpoint", "ip", "skep"))
    lines += rows(results[ENDPOINT], "ms", 1e3)
    lines.append(heading("Between two hosts", "underlay", "overlay"))
    lines += traffic_rows(results[OVERLAY])
    lines.append(heading("To a service", "direct", "VIP"))
    lines += traffic_rows(results[SERVICE])
    return lines


def rows(found: Mapping[str, Pairs], unit: str, scale: float) -> list[str]:
    """A line for each."""
    return [row(label, pairs, unit, scale) for label, pairs in found.items()]


def verdict(pairs: Pairs, elsewhere: str) -> list[str]:
    """How the goal stands, as far as this run can tell."""
    low, high = likely(pairs.differences())
    said = "kept" if high <= GOAL else "MISSED" if low > GOAL else "too noisy a run to tell"
    truly = f"it adds {low * 1e3:.1f} to {high * 1e3:.1f} ms"
    return [f"  goal: at most {GOAL * 1e3:.0f} ms ({elsewhere}); {truly}: {said}"]


def traffic_rows(found: Mapping[str, Pairs]) -> list[str]:
    """Rates, each in its unit."""
    units = {
        peer.BULK: ("one connection, bulk", "Gb/s", 1 / traffic.BYTES_PER_GBIT),
        peer.PINGS: ("round trips", "1/s", 1.0),
        peer.CONNECTS: ("connect, ask, close", "1/s", 1.0),
    }
    return [row(units[work][0], pairs, *units[work][1:]) for work, pairs in found.items()]


def main() -> None:
    """Measure and print."""
    options = arguments()
    begun = time.monotonic()
    results = measured(options)
    if options.json:
        print(json.dumps(results))
        return
    print("\n".join(report(results)))
    print("\nMedians; in brackets the quartiles of what each pair of turns gave.")
    print(f"It took {time.monotonic() - begun:.0f} seconds.")


if __name__ == "__main__":
    run("road", main)
