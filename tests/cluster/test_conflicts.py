import pytest
from refusing import RPC, port, refused

from skep.model.errors import (
    Invalid,
)
from skep.model.spec import (
    EndpointSpec,
)


def test_a_published_port_is_used_once(swarm):
    id = swarm.create("web2", ports=(port(80),))
    with pytest.raises(Invalid) as refusal:
        swarm.create("p2", ports=(port(80, 8080),))
    assert str(refusal.value) == (
        f"{RPC}port '80' is already in use by service 'web2' ({id}) as an ingress port"
    )
    swarm.create("udp", ports=(port(80, protocol="udp"),))


HOST = {"publish_mode": "host"}


def test_a_port_of_the_hosts_is_no_port_of_the_mesh(swarm):
    id = swarm.create("web", ports=(port(80, **HOST),))
    with pytest.raises(Invalid) as refusal:
        swarm.create("p2", ports=(port(80),))
    assert str(refusal.value) == (
        f"{RPC}port '80' is already in use by service 'web' ({id}) as a host-published port"
    )
    id = swarm.create("mesh", ports=(port(90),))
    with pytest.raises(Invalid) as refusal:
        swarm.create("p2", ports=(port(90, **HOST),))
    assert str(refusal.value) == (
        f"{RPC}port '90' is already in use by service 'mesh' ({id}) as an ingress port"
    )


def test_services_may_share_a_port_of_the_hosts_and_ask_for_any(swarm):
    swarm.create("web", ports=(port(80, **HOST), port(0, **HOST), port(0, 81, **HOST)))
    swarm.create("two", ports=(port(80, **HOST),), mode="dnsrr")
    swarm.settle()
    published = [p.published_port for p in swarm.service("web").endpoint.ports]
    assert published == [80, 0, 0]
    assert swarm.service("web").endpoint.virtual_ips == ()


def test_nobody_is_given_a_port_of_the_hosts_everywhere(swarm):
    swarm.create("web", ports=(port(30000, **HOST),))
    swarm.create("any", ports=(port(0),))
    swarm.settle()
    assert [p.published_port for p in swarm.service("any").endpoint.ports] == [30001]


def test_a_port_is_published_once_whatever_the_mode(swarm):
    sentence = refused(swarm, swarm.spec(ports=(port(80), port(80, 81, **HOST))))
    assert sentence == f"{RPC}EndpointSpec: duplicate published ports provided"


def test_a_dynamic_port_is_in_use_too(swarm):
    swarm.create("any", ports=(port(0),))
    swarm.settle()
    with pytest.raises(Invalid, match="port '30000' is already in use by service 'any'"):
        swarm.create("p2", ports=(port(30000),))


def test_a_service_does_not_clash_with_itself(swarm):
    swarm.create("web", ports=(port(80),))
    swarm.update("web", endpoint_spec=EndpointSpec(ports=(port(80), port(81))))
