from types import SimpleNamespace

import pytest

from skep.agent.drafting import check_others, kept_request, meant, refuse_unsupported
from skep.agent.records import Wanted
from skep.model.errors import Invalid, Missing


def test_what_has_places_of_its_own_is_not_kept_twice():
    body = {"Image": "busybox", "Domainname": "d", "Healthcheck": None, "HostConfig": {
        "NetworkMode": "web", "PortBindings": {}, "Memory": 5, "Dns": None, "CgroupnsMode": "host",
    }}  # fmt: skip
    assert kept_request(body) == {
        "Domainname": "d", "HostConfig": {"Memory": 5, "CgroupnsMode": "host"},
    }  # fmt: skip


def test_the_control_groups_that_are_usual_here_are_said():
    assert kept_request({})["HostConfig"]["CgroupnsMode"] in ("host", "private")


@pytest.mark.parametrize(
    "host",
    [
        {"Links": ["nosuch:x"]}, {"VolumesFrom": ["nosuch:ro"]},
        {"PidMode": "container:nosuch"}, {"IpcMode": "container:nosuch"},
    ],
)  # fmt: skip
def test_others_that_are_not_there_are_no_missing_image(host):
    def find(name):
        raise Missing(f"No such container: {name}")

    with pytest.raises(Invalid, match="could not get container for nosuch: No such container"):
        check_others({"HostConfig": host}, find)
    check_others({"HostConfig": {"PidMode": "host", "IpcMode": "private"}}, find)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"Hostname": "x", "HostConfig": {"NetworkMode": "container:a"}}, "hostname and the net"),
        ({"WorkingDir": "here"}, "needs to be an absolute path"),
        ({"HostConfig": {"Memory": 1024}}, "Minimum memory limit allowed is 6MB"),
    ],
)
def test_what_no_container_could_begin_with_is_refused(body, why):
    with pytest.raises(Invalid, match=why):
        refuse_unsupported(body)


def network(*local, swarm=()):
    """What a host knows of networks: pairs of id and name."""
    named = {id: SimpleNamespace(id=id, spec=SimpleNamespace(name=name)) for id, name in swarm}
    own = [SimpleNamespace(id=id, name=name) for id, name in local]
    return SimpleNamespace(
        locals=SimpleNamespace(all=lambda: own), assignment=SimpleNamespace(networks=named)
    )


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("ab12", "ab12cd"),
        ("ab12cd", "ab12cd"),
        ("ab", "ab"),
        ("q7", "q7swarm"),
        ("web", "web"),
        ("default", "default"),
        ("nosuch", "nosuch"),
    ],
)
def test_a_network_is_meant_by_the_beginning_of_its_id(reference, found):
    known = network(("ab12cd", "web"), ("ef34", "ab"), ("00bridge", "bridge"),
                    swarm=[("q7swarm", "over")])  # fmt: skip
    (item,) = meant((Wanted(network=reference, aliases=("a",)),), known)
    assert (item.network, item.aliases) == (found, ("a",))


def test_what_begins_two_ids_is_refused():
    known = network(("ab1", "one"), swarm=[("ab2", "two")])
    with pytest.raises(Invalid, match=r"network ab is ambiguous \(2 matches found on name or ID"):
        meant((Wanted(network="ab"),), known)
