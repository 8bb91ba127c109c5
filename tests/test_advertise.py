import pytest

from skep.advertise import advertised, listening, own_address, reached_by, split
from skep.model.errors import Invalid

OWN = [("lo", "127.0.0.1/8"), ("eth0", "192.0.2.1/24"), ("docker0", "172.17.0.1/16")]
TWO = [*OWN, ("eth1", "198.51.100.1/24")]


def test_the_only_address_is_advertised():
    assert advertised("", OWN) == "192.0.2.1"


def test_a_choice_is_the_users():
    with pytest.raises(Invalid, match=r"192.0.2.1 on eth0 and 198.51.100.1 on eth1.*--adv"):
        advertised("", TWO)
    with pytest.raises(Invalid, match="could not find the system's IP address"):
        advertised("", OWN[:1])


@pytest.mark.parametrize("wanted", ["eth1", "198.51.100.1", "198.51.100.1:2377", "eth1:2377"])
def test_an_address_or_an_interface_is_taken(wanted):
    assert advertised(wanted, TWO) == "198.51.100.1"


def test_ipv6_is_taken_where_it_is_asked_for_or_alone():
    both = [*OWN, ("eth0", "2001:db8::1/64")]
    assert advertised("", both) == "192.0.2.1"
    assert advertised("eth0", both) == "192.0.2.1"
    assert advertised("[2001:db8::1]:2377", both) == "2001:db8::1"
    assert advertised("", [("lo", "::1/128"), ("eth0", "2001:db8::1/64")]) == "2001:db8::1"


def test_who_is_reached_by_ipv6_listens_for_it():
    assert reached_by("0.0.0.0:2377", "2001:db8::1") == "[::]:2377"
    assert reached_by("0.0.0.0:2377", "192.0.2.1") == "0.0.0.0:2377"
    assert reached_by("192.0.2.1:99", "2001:db8::1") == "192.0.2.1:99"
    both = [*OWN, ("eth0", "2001:db8::1/64")]
    assert listening("[2001:db8::1]:99", both) == "[2001:db8::1]:99"
    assert listening("[::]:99", both) == "[::]:99"


def test_what_is_not_ours_is_refused_with_what_is():
    with pytest.raises(Invalid, match=r"203.0.113.9 is neither .*: it has 127.0.0.1 on lo, 192"):
        own_address("203.0.113.9", OWN)
    assert own_address("", OWN) == ""


def test_ports():
    assert split("192.0.2.1", 2377) == ("192.0.2.1", 2377)
    assert split("192.0.2.1:99", 2377) == ("192.0.2.1", 99)
    assert split("[2001:db8::1]:99", 2377) == ("2001:db8::1", 99)
    assert split("[2001:db8::1]", 2377) == ("2001:db8::1", 2377)
    assert split("2001:db8::1", 2377) == ("2001:db8::1", 2377)
    for bad in ("192.0.2.1:x", "192.0.2.1:0", "192.0.2.1:70000"):
        with pytest.raises(Invalid, match="invalid port"):
            split(bad, 2377)


def test_where_a_manager_listens():
    assert listening("0.0.0.0:2377", OWN) == "0.0.0.0:2377"
    assert listening("eth1:2400", TWO) == "198.51.100.1:2400"
    assert listening("198.51.100.1", TWO) == "198.51.100.1:2377"
    with pytest.raises(Invalid, match="eth9 is neither"):
        listening("eth9:2377", OWN)
