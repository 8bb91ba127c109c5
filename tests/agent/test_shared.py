"""The swarm's networks on links of this host: which link, and what is remembered."""

import asyncio

import msgspec
import pytest

from skep.agent.creating import Around
from skep.agent.shared import Shared, forms_of, lower_here
from skep.model.assignment import Assignment, NetworkAssignment
from skep.model.cluster import Attachment, Form, Subnet
from skep.model.errors import Broken, Invalid, Missing, Unsupported
from skep.model.host import LocalNetwork, Lower
from skep.model.spec import IpamConfig, NetworkSpec

IPAM = IpamConfig(subnet="10.9.0.0/24", gateway="10.9.0.1")
FORM = LocalNetwork(
    id="f" * 64, name="cfg", driver="null", created_at=1.0, config_only=True, ipam=(IPAM,),
    options={"parent": "eth0.50", "macvlan_mode": "private"},
)  # fmt: skip
AROUND = Around((FORM,), links=frozenset({"eth0", "eth1"}), drivers=frozenset({"macvlan"}))


def network(**spec):
    wanted = {"name": "lan", "driver": "macvlan", "scope": "swarm", **spec}
    return NetworkAssignment(
        id="n1", spec=NetworkSpec(**wanted), created_at=1.0, subnets=(Subnet(IPAM, 0),)
    )


FROM_FORM = network(config_from={"Network": "cfg"})


def test_the_configuration_says_where_and_the_cluster_what():
    assert lower_here(FROM_FORM, AROUND) == Lower(
        network_id="n1", network_name="lan", driver="macvlan", mode="private", parent="eth0.50",
        vlan=50, gateway="10.9.0.1",
    )  # fmt: skip
    plain = lower_here(network(options={"parent": "eth1"}, internal=True), AROUND)
    assert (plain.parent, plain.mode, plain.vlan, plain.gateway) == ("eth1", "bridge", 0, "")
    assert forms_of((FORM,)) == (Form("cfg", ipam=(IPAM,), options=FORM.options),)


@pytest.mark.parametrize(
    ("wanted", "around", "kind", "sentence"),
    [
        (FROM_FORM, msgspec.structs.replace(AROUND, networks=()), Missing, "cfg not found on this"),
        (network(options={"parent": "wan0"}), AROUND, Invalid, "no link wan0"),
        (network(driver="ipvlan", options={"parent": "eth0"}), AROUND, Unsupported, "no ipvlan"),
        (network(options={"parent": "eth0", "macvlan_mode": "x"}), AROUND, Invalid, "mode 'x'"),
    ],
)
def test_what_a_host_cannot_do(wanted, around, kind, sentence):
    with pytest.raises(kind, match=sentence):
        lower_here(wanted, around)


def test_a_link_of_a_vlan_that_was_made_stays_ours(tmp_path):
    around = AROUND

    async def look():
        return around

    async def scenario():
        nonlocal around
        assigned = Assignment(networks={"n1": FROM_FORM})
        attachment = Attachment(network_id="n1", address="10.9.0.2/24")
        shared = Shared(tmp_path / "lowers.json")
        shared.around = look
        await shared.provide(assigned, [attachment], used=())
        # It is there now, and a look would take it for one of the host's own.
        around = msgspec.structs.replace(AROUND, links=AROUND.links | {"eth0.50"})
        again = Shared(tmp_path / "lowers.json")
        again.load()
        again.around = look
        await again.provide(assigned, [attachment], used={"n1"})
        assert [each.vlan for each in again.lowers()] == [50]
        again.keep_only({"n1"})
        assert len(again.lowers()) == 1
        again.keep_only(())
        assert again.lowers() == ()

    asyncio.run(scenario())


def test_a_full_disk_keeps_no_host_from_its_assignment(tmp_path, monkeypatch):
    path = tmp_path / "lowers.json"
    path.write_bytes(msgspec.json.encode({"n1": lower_here(FROM_FORM, AROUND)}))
    shared = Shared(path)
    shared.load()
    assert len(shared.lowers()) == 1

    def full(*_):
        raise Broken("no space left on device")

    monkeypatch.setattr("skep.agent.shared.write_atomically", full)
    shared.keep_only(())
    assert shared.lowers() == ()
