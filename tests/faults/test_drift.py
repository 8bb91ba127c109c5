"""Whatever of ours somebody deletes, alters or adds comes back, is counted and told; nothing else
is touched.

All cases: bin/test faults. Some of them are in every run.
"""

import re

import pytest
from drift_case import FOREIGN, Measured
from drift_cases import DRIFTS
from swarm_lab import until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

HOST = "h1"
PROMPT = 25.0
"""Seconds in which events lead to a repair, on a machine that is busy with other things, too. The
next sweep comes later: there was one just before."""
SWEEP = "curl -sf --unix-socket /run/docker.sock -X POST 'http://x/skep/hold?host={}&seconds=0'"
"""Lets go of a host that nobody holds: it looks at everything now."""
BRIDGE = r"/link \d+: br0: .*UP> mtu 1450"
"""Carries the lowest MAC of its ports, so a port that is made anew may change it."""


@pytest.fixture(scope="module")
def lab(faulty):
    """The lab, with things of somebody else's on the host that is damaged."""
    faulty.shell(HOST, faulty.said(HOST, FOREIGN))
    until(lambda: faulty.settled(HOST), 60)
    yield faulty
    faulty.shell(HOST, "nft delete table inet guard; ip link del strange0; ip rule del fwmark 0x99",
                 check=False)  # fmt: skip


def cases():
    for name, case in DRIFTS.items():
        yield pytest.param(case, id=name, marks=() if case.fast else pytest.mark.fault)


@pytest.mark.parametrize("case", list(cases()))
def test_damage_is_repaired_counted_and_told(lab, case):
    before = lab.contents(HOST)
    lab.shell(HOST, SWEEP.format(HOST))
    until(lambda: lab.settled(HOST), 60)
    measured = Measured(lab, HOST, case)

    def strange():
        changed = before ^ lab.contents(HOST)
        allowed = (*case.anew, BRIDGE) if case.anew else ()
        return [line for line in changed if not any(re.search(each, line) for each in allowed)]

    try:
        until(measured.logged, 60)
    except AssertionError:
        raise AssertionError("nothing was logged") from None
    until(lambda: lab.settled(HOST), 60)
    try:
        until(lambda: not strange(), 60)
    except AssertionError:
        raise AssertionError(f"something else was touched: {strange()}") from None
    told = measured.logged()
    assert case.swept or measured.seconds < PROMPT, "only a sweep found it"
    for line in told:
        assert any(re.match(each, line) for each in case.repairs), f"not asked for: {line}"
    counted = lab.repairs(HOST)
    grown = sum(counted.values()) - sum(measured.repairs_before.values())
    assert grown == len(told)


def test_what_is_somebody_elses_stays(lab):
    """All of it, after all that was repaired."""
    there = lab.contents(HOST)
    box = lab.said(HOST, "%box%")
    for pattern in (
        "^/link .*strange0", "^/addr .*192.0.2.1/24", "^/route 198.51.100.0/24",
        "^/rule .*fwmark 0x99", "^/nft table inet guard",
        f"^{box}/link .*strange1", f"^{box}/nft table ip guard",
    ):  # fmt: skip
        assert any(re.search(pattern, line) for line in there), pattern
