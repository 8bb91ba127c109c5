"""Live through one seed again, and tell it: python tests/sim/replay.py SEED [--shrink]

``--shrink`` looks for a shorter wild part that still ends badly.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from sim_cluster import STEPS, Simulation


def lived(seed: int, steps: int, *, told: bool) -> str:
    """What went wrong in a life, "" if nothing did."""
    simulation = Simulation(seed, steps)
    simulation.trace = [] if told else None
    try:
        simulation.run()
    except Exception as fault:
        return f"{type(fault).__name__}: {fault}"
    finally:
        for at, *what in simulation.trace or ():
            print(f"{at:10.3f}  {'  '.join(map(str, what))}")
    return ""


def shortest(seed: int) -> int:
    """The least number of steps after which the seed still ends badly."""
    return next((n for n in range(1, STEPS) if lived(seed, n, told=False)), STEPS)


def main() -> int:
    """Exit status 1 if the seed ends badly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--shrink", action="store_true")
    asked = parser.parse_args()
    steps = shortest(asked.seed) if asked.shrink else STEPS
    fault = lived(asked.seed, steps, told=True)
    print(f"seed {asked.seed}, {steps} steps: {fault or 'all is well'}")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
