"""How soon damage to what Skep made in a kernel is repaired, by kind of object.

Run as root: ``bin/bench repair``. It makes a lab of three hosts with a name of its own, and takes
it down again. The damage is that of the cases in tests/faults/drift_cases.py.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from legs.samples import quartiles

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "faults"), str(TESTS / "docker")]

from drift_case import FOREIGN, Measured  # noqa: E402 - lies with the tests
from drift_cases import DRIFTS  # noqa: E402
from fault_lab import FaultLab  # noqa: E402
from swarm_lab import until  # noqa: E402

HOST = "h1"
GOAL = 1.0
REST = (0.3, 0.8)
"""Seconds from one repair to the next damage, so that its echo is over, at any point of the agent's
turns."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bin/bench repair", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=5, metavar="N",
                        help="how often each case is done (default: %(default)s)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print every number, for programs")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("N is at least 1")
    if os.geteuid() != 0:
        parser.error("it makes network namespaces, which takes root")
    return options


@contextmanager
def furnished() -> Iterator[FaultLab]:
    """The lab that the tests of faults damage."""
    lab = FaultLab(f"bench-{os.getpid()}", 3)
    try:
        lab.up()
        lab.furnish()
        lab.shell(HOST, lab.said(HOST, FOREIGN))
        yield lab
    finally:
        lab.down()


def measure(lab: FaultLab, rounds: int) -> dict[str, list[float]]:
    """Seconds to each repair, by case. What no event of the kernel tells of is left out, and what
    was repaired before a first look could see it."""
    taken: dict[str, list[float]] = defaultdict(list)
    cases = [(name, case) for name, case in DRIFTS.items() if not case.swept]
    for _ in range(rounds):
        for name, case in cases:
            until(lambda: lab.settled(HOST), 60)
            time.sleep(random.uniform(*REST))
            measured = Measured(lab, HOST, case)
            if measured.seen:
                taken[name].append(measured.seconds)
    return taken


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
        taken = measure(lab, options.rounds)
    if options.json:
        print(json.dumps(taken))
        return
    show(taken)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (AssertionError, subprocess.CalledProcessError, OSError) as fault:
        sys.exit(f"bin/bench repair: {fault}")
