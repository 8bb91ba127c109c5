"""Pairs of hosts that are not encrypted, as the doctor tells of them."""

import pytest
from test_doctor import Patient

from skep.model.secure import Pair, TunnelKey
from skep.trace.finding import ERROR

SILENT = "the other host does not answer through the tunnel"


@pytest.fixture
def patient():
    return Patient()


def pair(*, encrypted=False, **more):
    return Pair(node_id="h2", hostname="h2", encrypted=encrypted, why=SILENT, **more)


def found(patient):
    findings = patient.examine().findings
    assert {each.check for each in findings} <= {"encryption"}
    return findings


def test_what_is_proven_is_no_news(patient):
    patient.deep("h1", encryption=(pair(encrypted=True, generation=3),))
    assert found(patient) == ()


def test_what_is_not_names_both_hosts_and_the_port_of_the_key_in_use(patient):
    patient.hosts.view("h1", keys=(TunnelKey(3, "old", 51831), TunnelKey(4, "new", 51832)))
    patient.deep("h1", encryption=(pair(generation=4),))
    (only,) = found(patient)
    assert (only.severity, only.host, only.where) == (ERROR, "h1", "encrypted tunnel to h2")
    assert only.what == SILENT
    assert "nothing passes between h1 and h2" in only.why
    assert "UDP port 51832 " in only.fix


def test_without_a_key_in_common_all_ports_are_named(patient):
    patient.deep("h1", encryption=(pair(),))
    (only,) = found(patient)
    assert "UDP ports 51830 to 51929" in only.fix


def test_each_pair_is_told_by_each_host(patient):
    patient.deep("h1", encryption=(pair(), Pair(node_id="h3", hostname="h3", encrypted=True)))
    patient.deep("h2", encryption=(Pair(node_id="h1", hostname="h1", encrypted=False, why="x"),))
    assert [(each.host, each.what) for each in found(patient)] == [("h1", SILENT), ("h2", "x")]
