"""Thousands of small clusters, each lived through from its seed (see `sim_cluster`).

A seed that fails is printed with the command that replays it, step by step.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import Any

import pytest
from sim_cluster import Simulation
from sim_users import ACTIONS

FEW, MANY = 500, 10_000
AT_ONCE = 50
REPLAY = "python tests/sim/replay.py {}"


class Outcome:
    """What became of some seeds: how often users were served, and what went wrong."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.faults: dict[int, str] = {}
        self.modes: Counter[str] = Counter()


def live_through(seeds: range) -> Outcome:
    """Run some seeds in this process."""
    outcome = Outcome()
    for seed in seeds:
        simulation = Simulation(seed)
        try:
            simulation.run()
        except Exception as fault:
            outcome.faults[seed] = f"{type(fault).__name__}: {fault}"[:600]
        outcome.done.update(simulation.users.done)
    return outcome


def all_of(seeds: range) -> Iterator[tuple[int, Outcome]]:
    """Run these seeds on all processors; tells up to which they are done, as they are done."""
    batches = iter([seeds[at : at + AT_ONCE] for at in range(0, len(seeds), AT_ONCE)])
    workers = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = [(b, pool.submit(live_through, b)) for b in islice(batches, 2 * workers)]
        while waiting:
            batch, future = waiting.pop(0)
            outcome = future.result()
            if not outcome.faults:
                waiting.extend((b, pool.submit(live_through, b)) for b in islice(batches, 1))
            yield batch.stop, outcome


def run(wanted: range, capture: Any) -> Counter[str]:
    """Run these seeds; fails with the first ones that went wrong."""
    done: Counter[str] = Counter()
    faults: dict[int, str] = {}
    shown = time.monotonic()
    for seeds, outcome in all_of(wanted):
        done.update(outcome.done)
        faults.update(outcome.faults)
        if time.monotonic() - shown > 10:
            shown = time.monotonic()
            with capture.disabled():
                print(f"\r  {seeds} of {wanted.stop} seeds", end="", file=sys.stderr, flush=True)
    lines = [f"{REPLAY.format(seed)}   # {why}" for seed, why in sorted(faults.items())]
    assert not lines, "seeds that fail, and how to replay them:\n" + "\n".join(lines[:10])
    return done


def test_small_clusters_come_to_what_their_users_asked_for(capsys):
    done = run(range(FEW), capsys)
    # A workload that is always refused would prove nothing.
    assert {action.__name__ for action in ACTIONS} <= set(done)
    assert min(done.values()) > FEW / 5


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_ten_thousand_small_clusters(capsys):
    """With those above."""
    run(range(FEW, MANY), capsys)


def test_a_seed_is_a_life():
    """The same seed is the same life, whatever else ran before."""

    def digest(seed):
        simulation = Simulation(seed)
        simulation.trace = []
        simulation.run()
        return simulation.trace, repr(list(simulation.manager.state.tasks.values()))

    first = digest(3)
    digest(4)
    assert digest(3) == first
    assert digest(5) != first
