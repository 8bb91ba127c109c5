"""What a cluster's hosts cannot do is refused when a service asks for it, and not later."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.model.errors import Invalid


def balance_by(swarm, host, balancer):
    node = swarm.node(host)
    told = replace(node.description, engine_labels={"skep.balancer": balancer})
    report = {"state": "ready", "description": told}
    swarm.change(control.update_node_status, node.id, **report)


def asking(swarm, word, **changes):
    return replace(swarm.spec(), labels={"skep.balance": word}, **changes)


@pytest.mark.parametrize("word", ["lc", "least-connections", "sh", "mh"])
def test_where_a_host_has_no_ipvs_what_needs_it_is_refused(swarm, word):
    names = sorted(node.description.hostname for node in swarm.state.nodes.values())
    for name in names[1:]:
        balance_by(swarm, name, "ipvs")
    balance_by(swarm, names[0], "nft")
    with pytest.raises(Invalid) as refused:
        swarm.change(control.create_service, asking(swarm, word))
    canonical = "lc" if word == "least-connections" else word
    assert str(refused.value) == (
        f'label skep.balance: "{canonical}" needs IPVS on every host, and {names[0]} has none in '
        "use: choose rr, random or source, or start skepd there with --balancer ipvs"
    )
    balance_by(swarm, names[0], "ipvs")
    swarm.change(control.create_service, asking(swarm, word))


def test_all_hosts_without_are_named(swarm):
    with pytest.raises(Invalid, match=", ".join(
        sorted(node.description.hostname for node in swarm.state.nodes.values())[:2]
    )):  # fmt: skip
        swarm.change(control.create_service, asking(swarm, "lc"))


@pytest.mark.parametrize("word", ["rr", "random", "source"])
def test_the_rest_every_host_can(swarm, word):
    swarm.change(control.create_service, asking(swarm, word))


def test_a_service_is_not_held_to_it_by_a_host_that_came_later(swarm):
    for node in list(swarm.state.nodes.values()):
        balance_by(swarm, node.description.hostname, "ipvs")
    id = swarm.change(control.create_service, asking(swarm, "lc"))
    late = sorted(node.description.hostname for node in swarm.state.nodes.values())[0]
    balance_by(swarm, late, "nft")
    service = swarm.state.services[id]
    other = replace(service.spec, labels={**service.spec.labels, "team": "a"})
    swarm.change(control.update_service, id, service.version, other)
    service = swarm.state.services[id]
    with pytest.raises(Invalid, match=f"{late} has none in use"):
        swarm.change(control.update_service, id, service.version, asking(swarm, "mh"))
