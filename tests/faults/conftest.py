"""One lab for all faults that a test process runs: three hosts, a swarm, a little of everything."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docker"))
sys.path.append(str(Path(__file__).parent / "steps"))

from fault_lab import FaultLab
from fault_steps import DONE, ORDER
from step_cases import Connection

STEPS = sys.path[-1]


@pytest.fixture(scope="session")
def furnished():
    """The lab that all share."""
    with pytest.MonkeyPatch.context() as patch, FaultLab(f"faults{os.getpid()}", 3) as lab:
        patch.setenv("PYTHONPATH", STEPS, prepend=os.pathsep)
        lab.up()
        lab.furnish()
        yield lab


@pytest.fixture(scope="module")
def faulty(furnished):
    """The lab. Every test leaves it as it found it, but that tasks may be others than before."""
    furnished.look()
    return furnished


@pytest.fixture(scope="module")
def connection(faulty):
    """A TCP connection between containers that is open all the while."""
    found = Connection(faulty)
    yield found
    found.close()


BEGUN = "{{.State.Pid}} {{.State.StartedAt}}"


@pytest.fixture
def connected(faulty, connection):
    """The lab, whose connection and containers must survive."""
    connection.lives()
    begun = [faulty.docker(host, "inspect", "-f", BEGUN, f"box-{host}") for host in faulty.hosts]
    try:
        yield faulty
    finally:
        for host in faulty.hosts:
            faulty.shell(host, f"rm -f {ORDER} {DONE}")
    connection.lives()
    now = [faulty.docker(host, "inspect", "-f", BEGUN, f"box-{host}") for host in faulty.hosts]
    assert now == begun, "a container was stopped"
