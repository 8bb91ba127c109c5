"""Who talks to whom in the cluster: all hosts are asked, and those that are silent are named."""

import pytest

from skep.cluster.state import State
from skep.manager.flowing import Flowing
from skep.model.cluster import Node, NodeDescription
from skep.model.errors import Unavailable
from skep.model.flows import Flow, Party, Wanted


def flow(host, name="web"):
    return Flow(host=host, protocol="tcp", client=Party(address="10.0.0.1"),
                server=Party(address="10.0.0.2", name=name))  # fmt: skip


class Hosts:
    def __init__(self):
        self.asked = []

    async def ask(self, node_id, what, kind, within):
        self.asked.append(node_id)
        if node_id == "n2":
            raise Unavailable("it has no session with this manager")
        return (flow(f"h{node_id[1:]}"), flow(f"h{node_id[1:]}", "db"))


@pytest.fixture
def state():
    state = State()
    nodes = (Node(id=f"n{n}", description=NodeDescription(hostname=f"h{n}")) for n in (1, 2, 3))
    state.load(list(nodes), 1)
    return state


async def test_of_all_hosts(state):
    found = await Flowing(Hosts(), lambda: state).flows(Wanted(party="web"))
    assert [(each.host, each.server.name) for each in found.flows] == [("h1", "web"), ("h3", "web")]
    assert found.silent == {"h2": "it has no session with this manager"}


async def test_of_one_host_no_other_is_asked(state):
    hosts = Hosts()
    found = await Flowing(hosts, lambda: state).flows(Wanted(host="h3"))
    assert hosts.asked == ["n3"]
    assert {each.host for each in found.flows} == {"h3"}


async def test_a_worker_knows_its_own():
    hosts = Hosts()
    found = await Flowing(hosts, lambda: None).flows(Wanted())
    assert hosts.asked == [""]
    assert len(found.flows) == 2


async def test_what_is_no_refusal_is_a_fault(state):
    class Broken(Hosts):
        async def ask(self, node_id, what, kind, within):
            raise AssertionError("a fault of ours")

    with pytest.raises(AssertionError):
        await Flowing(Broken(), lambda: state).flows(Wanted())
