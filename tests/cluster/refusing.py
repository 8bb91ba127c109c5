"""What a cluster refuses."""

import pytest

from skep.cluster import control
from skep.model.errors import Invalid
from skep.model.spec import PortConfig

RPC = "rpc error: code = InvalidArgument desc = "


def port(published, target=80, **rest):
    return PortConfig(target_port=target, published_port=published, **rest)


def refused(swarm, spec, kind=Invalid):
    """Why a service cannot be made; there is none then."""
    with pytest.raises(kind) as refusal:
        swarm.change(control.create_service, spec)
    assert type(refusal.value) is kind
    assert not swarm.state.services
    return str(refusal.value)
