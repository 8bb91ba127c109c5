"""What the routing mesh promises, measured: no request is lost while tasks come and go, tasks see
their clients, idle connections live, turns are even, and ten thousand services cost no more than
one.

Run as root: ``bin/bench mesh``. It makes a lab of three hosts with a name of its own, measures, and
takes it down again, in less than five minutes. README.md says how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from legs import arrivals, crowd, idle, rolling
from legs.command import Command, run, tell
from legs.hosts import Hosts, lab_of
from legs.samples import Pairs, heading, likely, quartiles, row

LOAD, CLIENTS, IDLE, TURNS, CROWD = "load", "clients", "idle", "turns", "crowd"
PARTS = (LOAD, CLIENTS, IDLE, TURNS, CROWD)
UNEVEN = 0.01
"""By how much of its share a task may be asked more or less often than others."""

Results = dict[str, Any]


def arguments() -> argparse.Namespace:
    """The command line."""
    command = Command("mesh", __doc__)
    command.count("requests", 100_000, "requests while tasks come and go")
    command.count("rate", 700, "so many of them a second")
    command.count("turns", 6000, "connections each way")
    command.count("rounds", 60, "turns of one and ten thousand")
    command.parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
        help="what to measure (default: all)",
    )
    return command.options()


def measured(options: argparse.Namespace) -> Results:
    """The parts that were asked for. Progress goes to standard error."""
    results: Results = {}
    ways: dict[str, Callable[[Hosts], Any]] = {
        TURNS: lambda hosts: rolling.spread(hosts, options.turns),
        CLIENTS: arrivals.measure,
        IDLE: idle.measure,
        LOAD: lambda hosts: rolling.measure(hosts, options.requests, options.rate),
    }
    wanted = [part for part in ways if part in options.parts]
    if wanted:
        tell("making a lab")
        with lab_of(3) as hosts:
            for part in wanted:
                tell(part)
                results[part] = ways[part](hosts)
    if CROWD in options.parts:
        tell(CROWD)
        results[CROWD] = crowd.measure(options.rounds)
    return results


def report(results: Results) -> Iterator[str]:
    """What people read."""
    writers: dict[str, Callable[[Any], Iterator[str]]] = {
        LOAD: _load, CLIENTS: _clients, IDLE: _idle, TURNS: _turns, CROWD: _crowd,
    }  # fmt: skip
    for part, write in writers.items():
        if part in results:
            yield from write(results[part])


def verdict(kept: bool) -> str:
    """A goal's."""
    return "kept" if kept else "MISSED"


def _load(lived: rolling.Lived) -> Iterator[str]:
    yield "\nRequests while tasks come and go"
    for side, found in lived.loads.items():
        count, lost = sum(found["answered"].values()), sum(found["lost"].values())
        yield f"  from {side}: {count} answered, {lost} lost; slowest {found['slowest']:.2f} s"
        yield from (f"    {times} times: {why}" for why, times in found["lost"].items())
    yield "  meanwhile: " + ", ".join(f"{n} times {kind}" for kind, n in lived.changes.items())
    yield f"  goal: none is lost: {verdict(not any(f['lost'] for f in lived.loads.values()))}"


def _clients(found: list[arrivals.Arrival]) -> Iterator[str]:
    yield "\nWhom the task sees"
    for each in found:
        wrong = "" if each.seen == each.expected else f", not {each.expected}"
        yield f"  {each.way}: {each.seen}{wrong}"
    yield f"  goal: its clients: {verdict(all(e.seen == e.expected for e in found))}"


def _idle(found: list[idle.Idle]) -> Iterator[str]:
    yield f"\nConnections after {idle.HOURS / 3600:.0f} hours of connection tracking's time"
    for each in found:
        yield (
            f"  {each.way}: {'lives' if each.survived else f'is dead: {each.after}'}; would have "
            f"been remembered for {each.remembered / 3600:.0f} hours"
        )
    yield f"  goal: they live: {verdict(all(each.survived for each in found))}"


def unevenness(counts: list[int]) -> float:
    """By how much of a fair share the farthest from it is away."""
    fair = sum(counts) / len(counts)
    return max(abs(count - fair) for count in counts) / fair


def _turns(found: dict[str, list[int]]) -> Iterator[str]:
    yield "\nConnections per task, of three"
    for side, counts in found.items():
        yield f"  from {side}: {', '.join(map(str, counts))} ({unevenness(counts):.2%} off)"
    even = all(unevenness(counts) <= UNEVEN for counts in found.values())
    yield f"  goal: even within {UNEVEN:.0%}: {verdict(even)}"


def _crowd(pairs: Pairs) -> Iterator[str]:
    yield heading("Through the mesh, among", "1", f"{crowd.MANY}")
    yield row("connect, ask, close", pairs, "ms", 1e3)
    middle = quartiles(pairs.ratios()).middle
    low, high = likely(pairs.ratios())
    said = (
        "kept" if high <= crowd.GOAL else "MISSED" if low > crowd.GOAL
        else "too noisy a run to tell"
    )  # fmt: skip
    yield (
        f"  goal: at most {crowd.GOAL - 1:.0%} more; it is {middle - 1:+.1%}, truly between "
        f"{low - 1:+.1%} and {high - 1:+.1%}: {said}"
    )


def main() -> None:
    """Measure and print."""
    options = arguments()
    begun = time.monotonic()
    results = measured(options)
    if options.json:
        print(json.dumps(results))
        return
    print("\n".join(report(results)))
    print(f"\nIt took {time.monotonic() - begun:.0f} seconds.")


if __name__ == "__main__":
    run("mesh", main)
