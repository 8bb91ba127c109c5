"""A released address rests: between two holders of it, all others of its network were given out."""

import random

from sim_manager import scrambled

from skep.cluster import control
from skep.cluster.context import Context
from skep.cluster.state import Draft, State
from skep.model.cluster import Cluster, Node, NodeDescription, Tokens
from skep.model.spec import Ipam, IpamConfig, NetworkSpec

ADDRESSES = 29
MOST_HELD = 8


class Small:
    """One host, one tight network."""

    def __init__(self):
        self.state, self.ids, self.revision = State(), 0, 0
        node = Node(id="n", state="ready", description=NodeDescription(hostname="n"))
        cluster = Cluster(id="c", ca_certificate="", ca_key="", tokens=Tokens("w", "m"))
        self.change(control.init_cluster, cluster=cluster, node=node)
        ipam = Ipam(config=(IpamConfig(subnet="10.9.0.0/27"),))
        spec = NetworkSpec(name="tight", attachable=True, ipam=ipam)
        self.network = self.change(control.create_network, spec)

    def new_id(self):
        self.ids += 1
        return scrambled(self.ids)

    def change(self, decide, *args, **kwargs):
        draft = Draft(self.state)
        result = decide(draft, Context(1.0, self.new_id), *args, **kwargs)
        self.revision += 1
        self.state.apply(draft.changes(), self.revision)
        return result

    def attach(self):
        return self.change(
            control.attach, node_id="n", container_id="c", container_name="c",
            networks={self.network: ""},
        )  # fmt: skip


def test_a_released_address_rests():
    dice, small = random.Random(7), Small()
    held, given = [], []
    for _ in range(200):
        if held and dice.random() < 0.5:
            task = held.pop(dice.randrange(len(held)))
            small.change(control.detach, node_id="n", task_id=task.id)
        elif len(held) < MOST_HELD:
            held.append(small.attach())
            given.append(held[-1].attachments[0].address)
    last = {}
    for position, address in enumerate(given):
        if address in last:
            assert position - last[address] >= ADDRESSES - (MOST_HELD - 1)
        last[address] = position
    assert len(last) == ADDRESSES
