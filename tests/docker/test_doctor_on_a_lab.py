"""Break one thing in a swarm, ask once: `skep trace` or `skep doctor` names that thing, at its hop.

Repairs are held off on the host that is broken; letting it go brings everything back. Between two
faults the doctor must find nothing, so every test also shows that a healthy swarm has no finding.
"""

import os
from pathlib import Path

import pytest
from fault import PORT, UNKNOWN, WEB
from faults_doctored import DOCTORED, LIVE
from faults_traced import TRACED
from swarm_lab import until
from trace_lab import TraceLab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab():
    with TraceLab(f"ill-{os.getpid()}", hosts=3) as made:
        made.up()
        made.furnish()
        yield made


@pytest.fixture
def breaking(lab):
    """Breaks things on held hosts, and mends them."""
    undo = []

    def do(fault):
        lab.hold(fault.host)
        undo.append(fault)
        fault.damage(lab)

    yield do
    for fault in undo:
        try:
            if fault.mend is not None:
                fault.mend(lab)
        finally:
            lab.release(fault.host)
    # What lay between two hosts that were cut off is remembered for a while, but all is reached.
    if any(fault.lingers for fault in undo):
        until(lambda: all(lab.trace(*ask)[1]["reached"] for ask in (WEB, PORT)), 120)
    else:
        until(lambda: not lab.doctor()["findings"], 120)


def told(lab, ask):
    """What a trace says; one that a host did not answer in time is asked for again."""

    def answered():
        code, found = lab.trace(*ask)
        return code != UNKNOWN and (code, found)

    return until(answered, 60)


def words(trace):
    trouble = trace["trouble"] or {}
    return f"{trace['summary']} {trouble.get('where')}: {trouble.get('why')}"


@pytest.mark.parametrize("name", TRACED)
def test_a_trace_names_what_is_broken_at_its_hop(lab, breaking, name):
    fault = TRACED[name]
    breaking(fault)
    code, found = told(lab, fault.ask)
    trouble = found["trouble"]
    assert trouble is not None, words(found)
    assert code == fault.code, words(found)
    assert fault.where(lab) in trouble["where"], words(found)
    assert fault.why(lab) in trouble["why"], words(found)
    assert trouble["todo"]
    hops = found["back"] or found["there"]
    broken = [hop for hop in (*found["there"], *found["back"]) if hop["state"] != "ok"]
    assert broken, words(found)
    assert broken[0]["host"] == fault.hop, words(found)
    assert code == 4 or broken[0] is hops[-1]


def test_a_held_host_is_shown_and_nothing_is_repaired_there(lab, breaking):
    fault = TRACED["address deleted"]
    breaking(fault)
    held = [each for each in lab.doctor()["findings"] if each["check"] == "hold"]
    assert [each["host"] for each in held] == ["h1"]
    code, output, _ = lab.skep_cli("h1", "doctor", "--fix", "--yes", "--host", "h1")
    assert code == 2 and "it is held" in output
    assert lab.trace(*fault.ask)[1]["trouble"] is not None
    log = Path(f"/var/lib/skep-lab/{lab.name}/h1/skepd.log").read_text()
    assert "held" in log


def test_fixing_repairs_at_once(lab):
    lab.hold("h1")
    try:
        TRACED["address deleted"].damage(lab)
        assert lab.doctor()["code"] == 2
    finally:
        lab.release("h1")
    code, output, _ = lab.skep_cli("h1", "doctor", "--fix", "--yes")
    assert code == 0, output
    assert "repaired h1" in output


@pytest.mark.parametrize("name", DOCTORED)
def test_the_doctor_names_what_is_wrong(lab, breaking, name):
    fault = DOCTORED[name]
    breaking(fault)
    findings = [each for each in lab.doctor()["findings"] if each["check"] != "hold"]
    said = [f"{each['where']}: {each['what']}" for each in findings]
    fitting = [
        each
        for each in findings
        if fault.where(lab) in each["where"] and fault.why(lab) in each["what"]
    ]
    assert fitting, said
    assert fitting[0]["host"] in (fault.hop, ""), said
    assert fitting[0]["fix"] and fitting[0]["why"]


@pytest.mark.parametrize("name", LIVE)
def test_a_probe_names_what_no_kernel_shows(lab, breaking, name):
    fault = LIVE[name]
    breaking(fault)
    code, found = lab.trace(*fault.ask, "--live")
    assert code == fault.code, words(found)
    assert fault.where(lab) in found["trouble"]["where"], words(found)
    assert fault.why(lab) in found["trouble"]["why"], words(found)
