"""What a host holds does not grow with the lives that it has seen."""

import pytest
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1700)]

HOST = "h1"
WAVE = 10
HELD = """
held() {
  echo "descriptors of $1=$(ls /proc/$2/fd | wc -l)"
  echo "threads of $1=$(ls /proc/$2/task | wc -l)"
  echo "KiB of $1=$(awk '/VmRSS/ { print $2 }' /proc/$2/status)"
}
held skepd $(pgrep -of '[s]kep.daemon.--state')
held skep-dns $(pgrep -of '[s]kep.dns.server')
echo "namespaces=$(ls /run/netns | wc -l)"
echo "mounts=$(wc -l </proc/mounts)"
echo "links=$(ip -o link | wc -l)"
echo "neighbours=$(ip neigh show nud permanent | wc -l)"
echo "nft=$(nft list ruleset | wc -l)"
echo "records=$(ls /var/lib/skep/containers | wc -l)"
echo "sandboxes=$(ls /var/lib/skep/sandboxes | wc -l)"
echo "KiB of state=$(du -sk --exclude=engine --exclude='cluster.db*' /var/lib/skep | cut -f1)"
"""
MORE = {
    "descriptors of skepd": 5,
    "descriptors of skep-dns": 5,
    "threads of skepd": 8,
    "threads of skep-dns": 8,
    "KiB of skepd": 12 << 10,
    "KiB of skep-dns": 12 << 10,
    "KiB of state": 512,
}
"""By how much each may have grown. What Python keeps of memory for later is less than this; a leak
of 15 KiB per life is more, after 1000 lives. The store is not counted: it keeps its last 10,000
revisions."""


def held(lab):
    """What the host holds, by name."""
    lines = [line.partition("=") for line in lab.shell(HOST, HELD).splitlines()]
    return {name: int(value) for name, _, value in lines}


def settled(lab, before):
    """Wait until nothing is more than it was; what there is then."""
    now = {}

    def grown():
        now.update(held(lab))
        return {
            name: (count, now[name])
            for name, count in before.items()
            if now[name] > count + MORE.get(name, 0)
        }

    try:
        until(lambda: not grown(), 120)
    except AssertionError:
        raise AssertionError(f"more than before: {grown()}") from None
    return now


@pytest.fixture
def lab(faulty):
    faulty.docker("h1", "service", "create", "--detach", "--no-resolve-image", "--name", "lives",
                  "--network", "net", "--constraint", f"node.hostname=={HOST}", "--replicas", "0",
                  "--stop-signal", "KILL", "busybox", "sleep", "86400")  # fmt: skip
    until(lambda: faulty.settled(HOST), 60)
    yield faulty
    faulty.docker("h1", "service", "rm", "lives")


def live(lab, lives):
    """So many endpoints are made and taken away again, some at a time."""
    for _ in range(lives // WAVE):
        for count in (WAVE, 0):
            lab.docker("h1", "service", "scale", "--detach", f"lives={count}")
            until(lambda count=count: lab.running("lives", count), 240)
        until(lambda: not lab.docker(HOST, "ps", "-aq", "--filter", "name=lives."), 240)


@pytest.mark.parametrize("lives", [
    pytest.param(100, marks=pytest.mark.fault), pytest.param(1000, marks=pytest.mark.long),
])  # fmt: skip
def test_endpoints_come_and_go_and_leave_nothing(lab, lives):
    at_rest = {name: count for name, count in held(lab).items() if " of " not in name}
    live(lab, 2 * WAVE)  # what is only ever loaded, cached and allocated once
    before = settled(lab, at_rest)
    live(lab, lives)
    print(before, settled(lab, before))
