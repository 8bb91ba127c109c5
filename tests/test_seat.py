"""A manager whose host has other addresses than before."""

import socket

import msgspec
import pytest

from skep.advertise import Reach
from skep.api.ports import InitRequest
from skep.cluster import control
from skep.founding import found
from skep.model.cluster import NodeDescription
from skep.seat import Seat


@pytest.fixture
async def seated(tmp_path):
    """A manager that does not listen yet, and who it is."""
    request = InitRequest(listen_address="127.0.0.1:2377")
    new = found(request, NodeDescription(hostname="h1"), Reach("127.0.0.1", "127.0.0.1", "lo"))
    seat = await Seat.open(tmp_path)
    await seat.manager.change(
        lambda d, c: control.init_cluster(d, c, cluster=new.cluster, node=new.node)
    )
    yield seat, new.identity
    await seat.close()


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


async def test_one_that_is_where_it_was_changes_nothing(seated):
    seat, identity = seated
    before = seat.manager.state.revision
    await seat.moved(identity, identity.listen_address)
    assert seat.manager.state.revision == before


async def test_it_is_known_and_listens_elsewhere(seated):
    seat, identity = seated
    ports = [free_port(), free_port()]
    old, new = (f"127.0.0.1:{port}" for port in ports)
    for work in await seat.serve(msgspec.structs.replace(identity, listen_address=old)):
        work.close()
    node_id = identity.subject.node_id
    moved = msgspec.structs.replace(identity, listen_address=new, managers={node_id: new})
    await seat.moved(moved, old)
    assert seat.manager.state.nodes[node_id].manager_address == new
    with socket.create_connection(("127.0.0.1", ports[1]), 60):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0]), 60)
