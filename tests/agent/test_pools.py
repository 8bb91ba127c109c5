"""Where subnets of a host's own bridges come from."""

import time
from ipaddress import IPv4Network

import pytest

from skep.agent.pools import DEFAULT, HostSubnets, Pool, bridge_address, free_subnet, pool
from skep.model.errors import Invalid, Unavailable


def test_what_is_taken_is_avoided():
    assert free_subnet(DEFAULT, []) == "172.17.0.0/16"
    taken = ["172.17.4.0/24", "10.0.0.0/8", "fe80::1/64"]
    assert free_subnet(DEFAULT, taken) == "172.18.0.0/16"
    assert free_subnet(DEFAULT, ["172.16.0.0/12"]) == "192.168.0.0/20"
    assert free_subnet(DEFAULT, ["172.16.0.0/12", "192.168.17.5/32"]) == "192.168.0.0/20"
    assert free_subnet(DEFAULT, ["172.16.0.0/12", "192.168.0.0/22"]) == "192.168.16.0/20"
    with pytest.raises(Unavailable, match="--default-address-pool"):
        free_subnet(DEFAULT, ["172.16.0.0/12", "192.168.0.0/16"])


def test_what_covers_much_is_stepped_over_at_once():
    pools = (Pool(IPv4Network("10.0.0.0/8"), 30),)
    begun = time.process_time()
    assert free_subnet(pools, ["10.0.0.0/9", "10.128.0.1/32"]) == "10.128.0.4/30"
    with pytest.raises(Unavailable):
        free_subnet(pools, ["0.0.0.0/0"])
    assert time.process_time() - begun < 5, "millions of subnets were looked at one by one"


def test_a_pool_is_written_as_docker_has_it():
    assert pool("base=10.10.0.0/16,size=24") == Pool(IPv4Network("10.10.0.0/16"), 24)


def test_only_pools_that_somebody_chose_are_shown():
    assert HostSubnets().chosen == ()
    assert HostSubnets("", (pool("base=10.10.0.0/16,size=24"),)).chosen == (("10.10.0.0/16", 24),)


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.0/8", "base=10.0.0.0/8", "base=10.0.0.1/8,size=24", "base=10.0.0.0/8,size=7",
     "base=10.0.0.0/8,size=31", "base=10.0.0.0/8,size=x", "base=fd00::/8,size=64",
     "base=10.0.0.0/8,size=24,more=1"],
)  # fmt: skip
def test_what_is_no_pool(text):
    with pytest.raises(Invalid, match="is no pool"):
        pool(text)


def test_docker0s_address():
    assert bridge_address("") == ""
    assert bridge_address("10.9.0.5/24") == "10.9.0.5/24"
    for text in ("10.9.0.5", "10.9.0.0/24", "10.9.0.255/24", "10.9.0.1/31", "fd00::1/64", "x"):
        with pytest.raises(Invalid):
            bridge_address(text)
