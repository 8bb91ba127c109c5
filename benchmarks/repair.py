"""How soon damage to what Skep made in a kernel is repaired, by kind of object.

Run as root: ``bin/bench repair``. It makes a lab of three hosts with a name of its own, and takes
it down again. The damage is that of the cases in tests/faults/drift_cases.py.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from queue import Queue

from legs.command import Command, run
from legs.samples import quartiles

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "faults"), str(TESTS / "docker")]

from drift_case import FOREIGN, Measured  # noqa: E402 - lies with the tests
from drift_cases import DRIFTS  # noqa: E402
from fault_lab import FaultLab  # noqa: E402
from swarm_lab import until  # noqa: E402

GOAL = 1.0
REST = (0.0, 0.5)
"""Seconds from one repair to the next damage, so that its echo is over, at any point of the agent's
turns."""


def arguments() -> argparse.Namespace:
    """The command line."""
    command = Command("repair", __doc__)
    command.count(
        "rounds", 20, "repairs of each kind, by turns of its cases; 100 take half an hour"
    )
    command.parser.add_argument(
        "--minutes",
        type=float,
        default=40,
        metavar="M",
        help="begin no round after so long (default: %(default)s)",
    )
    return command.options()


@contextmanager
def furnished() -> Iterator[FaultLab]:
    """The lab that the tests of faults damage."""
    lab = FaultLab(f"bench-{os.getpid()}", 3)
    try:
        lab.up()
        lab.furnish()
        for host in lab.hosts:
            lab.shell(host, lab.said(host, FOREIGN))
        yield lab
    finally:
        lab.down()


def kinds() -> dict[str, list[str]]:
    """The cases of each kind. What no event of the kernel tells of is left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, case in DRIFTS.items():
        if not case.swept:
            found[case.kind].append(name)
    return found


def rounds(count: int, minutes: float) -> Iterator[list[str]]:
    """The cases of each round, one of each kind in a random order, until time is up."""
    deadline = time.monotonic() + minutes * 60
    turns = {kind: cycle(names) for kind, names in kinds().items()}
    for _ in range(count):
        if time.monotonic() > deadline:
            return
        names = [next(each) for each in turns.values()]
        random.shuffle(names)
        yield names


def measure(lab: FaultLab, count: int, minutes: float) -> dict[str, list[float]]:
    """Seconds to each repair, by case, on all hosts at once. What was repaired before a first look
    could see it is left out."""
    taken: dict[str, list[float]] = defaultdict(list)
    left: Queue[list[str]] = Queue()
    with ThreadPoolExecutor(len(lab.hosts)) as pool:
        for names in rounds(count, minutes):
            left.put(names)
            if left.qsize() == len(lab.hosts):
                print(f"{sum(map(len, taken.values()))} repairs", file=sys.stderr)
                list(pool.map(lambda host: _round(lab, host, left.get(), taken), lab.hosts))
        list(pool.map(lambda host: _round(lab, host, left.get(), taken), lab.hosts[: left.qsize()]))
    return taken


def _round(lab: FaultLab, host: str, names: Sequence[str], taken: dict[str, list[float]]) -> None:
    for name in names:
        until(lambda: lab.settled(host), 60)
        time.sleep(random.uniform(*REST))
        try:
            measured = Measured(lab, host, DRIFTS[name])
        except AssertionError as fault:
            if "damage failed" not in str(fault):
                raise
            continue  # what takes several steps was repaired after the first of them
        if measured.seen:
            taken[name].append(measured.seconds)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(taken: Mapping[str, Sequence[float]]) -> None:
    """A line for each kind, the slowest first, and one for all."""
    kinds: dict[str, list[float]] = defaultdict(list)
    for name, values in taken.items():
        kinds[DRIFTS[name].kind] += values
    print(f"{'seconds to the repair of':26}{'times':>6}{'median':>8}{'99 %':>8}{'most':>8}")
    for kind, values in sorted(kinds.items(), key=lambda each: -max(each[1])):
        print(line(kind, values))
    everything = [value for values in taken.values() for value in values]
    print(line("all of them", everything))
    late = sum(value > GOAL for value in everything)
    print(f"{len(kinds)} kinds, {len(taken)} cases; {late} of {len(everything)} repairs took more "
          f"than {GOAL:.0f} s")  # fmt: skip


def line(what: str, values: Sequence[float]) -> str:
    """One line of the table."""
    figures = (quartiles(values).middle, percentile(values, 0.99), max(values))
    return f"  {what:24}{len(values):>6}" + "".join(f"{each:8.2f}" for each in figures)


def main() -> None:
    """Measure and print."""
    options = arguments()
    with furnished() as lab:
        busy = os.getloadavg()
        taken = measure(lab, options.rounds, options.minutes)
    print(f"load of {os.cpu_count()} processors: {busy[0]:.1f} before, "
          f"{os.getloadavg()[0]:.1f} after", file=sys.stderr)  # fmt: skip
    if options.json:
        print(json.dumps(taken))
        return
    show(taken)


if __name__ == "__main__":
    run("repair", main, AssertionError)
