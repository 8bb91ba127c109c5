"""What the first manager of a swarm makes."""

import pytest

from skep.advertise import Reach
from skep.api.ports import InitRequest
from skep.founding import found
from skep.model.cluster import NodeDescription


@pytest.mark.parametrize(
    ("listen", "advertise", "reached"),
    [
        ("0.0.0.0:2377", "192.0.2.1", "192.0.2.1:2377"),
        ("0.0.0.0:2400", "192.0.2.1", "192.0.2.1:2400"),
        ("0.0.0.0:2400", "192.0.2.1:2500", "192.0.2.1:2500"),
    ],
)
def test_where_the_manager_is_reached(listen, advertise, reached):
    request = InitRequest(listen_address=listen, advertise_address=advertise)
    new = found(request, NodeDescription(hostname="h1"), Reach("192.0.2.1", "192.0.2.1"))
    assert new.node.manager_address == reached
    assert list(new.identity.managers.values()) == [reached]
    assert new.identity.listen_address == listen
