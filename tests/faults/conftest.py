"""One lab for all faults that a test process runs: three hosts, a swarm, a little of everything."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docker"))

from fault_lab import FaultLab


@pytest.fixture(scope="session")
def faulty():
    """The lab. Every test leaves it as it found it."""
    lab = FaultLab(f"faults{os.getpid()}", 3)
    try:
        lab.up()
        lab.furnish()
        yield lab
    finally:
        if not os.environ.get("SKEP_KEEP_LAB"):
            lab.down()
