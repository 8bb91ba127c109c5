"""New tunnel keys on time and on demand, and never before the last ones have settled."""

import msgspec
import pytest

from skep.cluster.context import Context
from skep.cluster.control import report_keys, rotate_keys
from skep.cluster.control.swarm import KEYS_SETTLE
from skep.cluster.state import Draft, State
from skep.manager.keys import PERIOD, rotate_if_due
from skep.model.cluster import Cluster, Node, NodeDescription, Tokens
from skep.model.errors import Invalid, Unavailable
from skep.model.secure import TunnelKey

BEGUN = 1000.0
PUBLIC = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="


@pytest.fixture
def draft():
    made = Draft(State())
    made.put(
        Cluster(id="c", ca_certificate="", ca_key="", tokens=Tokens("", ""), generation_at=BEGUN)
    )
    made.put(node(TunnelKey(1, "public", 51831)))
    return made


def node(*keys):
    return Node(id="n", description=NodeDescription(hostname="h1"), state="ready", keys=keys)


def at(now):
    return Context(now=now, new_id=lambda: "id")


def test_the_next_generation_begins_on_time(draft):
    assert not rotate_if_due(draft, at(BEGUN + PERIOD - 1))
    assert rotate_if_due(draft, at(BEGUN + PERIOD))
    assert (draft.cluster.generation, draft.cluster.generation_at) == (2, BEGUN + PERIOD)


def test_on_demand(draft):
    assert rotate_keys(draft, at(BEGUN + KEYS_SETTLE)) == 2


def test_not_while_hosts_are_changing(draft):
    with pytest.raises(Unavailable, match="try again in 5 seconds"):
        rotate_keys(draft, at(BEGUN + KEYS_SETTLE - 5))


def test_not_before_every_host_that_is_there_has_its_key(draft):
    draft.put(node(TunnelKey(0, "older", 51830)))
    with pytest.raises(Unavailable, match="h1 has not made its tunnel key"):
        rotate_keys(draft, at(BEGUN + KEYS_SETTLE))
    draft.put(msgspec.structs.replace(node(), state="down"))
    assert rotate_keys(draft, at(BEGUN + KEYS_SETTLE)) == 2


def test_a_host_tells_one_key_for_each_link(draft):
    keys = (TunnelKey(1, PUBLIC, 51831), TunnelKey(2, PUBLIC, 51830))
    report_keys(draft, at(BEGUN), "n", keys)
    assert draft.nodes["n"].keys == keys
    with pytest.raises(Invalid):
        report_keys(draft, at(BEGUN), "n", (*keys, TunnelKey(3, PUBLIC, 51833)))
    with pytest.raises(Invalid, match="'x' is no key"):
        report_keys(draft, at(BEGUN), "n", (TunnelKey(1, "x", 51831),))
