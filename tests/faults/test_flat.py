"""What a daemon holds does not grow with the lives that it has seen."""

import pytest
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

HOST = "h1"
WAVE = 10
HELD = """
for pid in $(pgrep -of '[s]kep.daemon.--state') $(pgrep -of '[s]kep.dns.server'); do
  echo $(ls /proc/$pid/fd | wc -l) $(sed -n 's/VmRSS: *//p' /proc/$pid/status)
done
"""
MOST_GROWTH = 12 << 10
"""KiB. What Python keeps for later is less than this; a leak of 40 KiB per life is more, after 1000
lives."""


def held(lab):
    """Of skepd and skep-dns: (open files, KiB of memory)."""
    lines = [line.split() for line in lab.shell(HOST, HELD).splitlines()]
    assert len(lines) == 2
    return [(int(files), int(memory)) for files, memory, _ in lines]


@pytest.fixture
def lab(faulty):
    faulty.docker("h1", "service", "create", "--detach", "--no-resolve-image", "--name", "lives",
                  "--network", "net", "--constraint", f"node.hostname=={HOST}", "--replicas", "0",
                  "--stop-signal", "KILL", "busybox", "sleep", "86400")  # fmt: skip
    yield faulty
    faulty.docker("h1", "service", "rm", "lives")


def live(lab, lives):
    """So many endpoints are made and taken away again, some at a time."""
    for _ in range(lives // WAVE):
        for count in (WAVE, 0):
            lab.docker("h1", "service", "scale", "--detach", f"lives={count}")
            until(lambda count=count: lab.running("lives", count), 120)
        until(lambda: not lab.docker(HOST, "ps", "-q", "--filter", "name=lives."), 120)


@pytest.mark.parametrize("lives", [
    pytest.param(100, marks=pytest.mark.fault), pytest.param(1000, marks=pytest.mark.long),
])  # fmt: skip
def test_endpoints_come_and_go_and_leave_nothing(lab, lives):
    live(lab, 2 * WAVE)  # what is only ever loaded, cached and allocated once
    before = held(lab)
    live(lab, lives)
    # The last containers are still being stopped, and connections to the engine are kept a while.
    until(lambda: all(now[0] <= was[0] + 5 for was, now in zip(before, held(lab), strict=True)), 60)
    for (_, memory), (_, memory_after) in zip(before, held(lab), strict=True):
        assert memory_after <= memory + MOST_GROWTH
