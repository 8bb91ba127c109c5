"""Where nodes are reached, and where their tunnels end."""

import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.model.errors import Invalid, Missing


def test_a_manager_that_moves_is_known_elsewhere(swarm):
    node = swarm.node("h1")
    swarm.now += 10
    swarm.change(control.move_manager, node.id, "192.168.0.9:2377")
    moved = swarm.state.nodes[node.id]
    assert (moved.manager_address, moved.address) == ("192.168.0.9:2377", node.address)
    assert moved.updated_at == swarm.now
    with pytest.raises(Missing, match="node nosuch not found"):
        swarm.change(control.move_manager, "nosuch", "192.168.0.9:2377")


def test_tunnels_end_where_they_fit(swarm):
    node = swarm.host("h9")
    assert control.with_fitting_end(swarm.state, node, "fd00::9") == node
    other = replace(node, vtep="fd00::9")
    assert control.with_fitting_end(swarm.state, other, node.vtep) == node
    assert control.with_fitting_end(swarm.state, other, "") == other
    with pytest.raises(Invalid, match=r"end at fd00::9, .* from IPv6 to IPv4: give this host an"):
        swarm.change(control.add_node, other)
