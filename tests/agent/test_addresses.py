import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.agent.addresses import next_address, next_name
from skep.model.errors import Unavailable


def test_first_free_address_follows_the_last_one_given():
    assert next_address("172.18.0.0/16", {"172.18.0.1"}, "", "gw") == "172.18.0.2/16"
    assert next_address("172.18.0.0/16", {"172.18.0.1"}, "172.18.0.7", "gw") == "172.18.0.8/16"


def test_search_goes_round_and_never_gives_network_or_broadcast():
    taken = {"10.0.0.1"}
    assert next_address("10.0.0.0/29", taken, "10.0.0.6", "n") == "10.0.0.2/29"


def test_full_subnet_says_how_full():
    taken = {f"10.0.0.{n}" for n in range(1, 7)}
    with pytest.raises(Unavailable, match="network web: 6 of 6 addresses in use"):
        next_address("10.0.0.0/29", taken, "10.0.0.3", "web")


@given(st.sets(st.integers(1, 13), max_size=13), st.integers(0, 15))
def test_never_a_taken_address(taken, after):
    used = {f"10.0.0.{n}" for n in taken}
    address = next_address("10.0.0.0/28", used, f"10.0.0.{after}" if after else "", "n")
    host = address.partition("/")[0]
    assert host not in used
    assert host not in ("10.0.0.0", "10.0.0.15")


def test_lowest_free_number_names():
    assert next_name("eth", []) == "eth0"
    assert next_name("veth", ["veth0", "veth2"]) == "veth1"
