import pytest

from skep.advertise import (
    Reach,
    advertised,
    ended,
    listening,
    other_end,
    own_address,
    reach,
    reached_by,
    split,
    still,
)
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


@pytest.mark.parametrize(
    ("advertise", "data_path", "expected"),
    [
        ("", "", Reach("192.0.2.1", "192.0.2.1", "eth0", "eth0")),
        ("eth0", "", Reach("192.0.2.1", "192.0.2.1", "eth0", "eth0")),
        ("eth0:99", "", Reach("192.0.2.1", "192.0.2.1", "eth0", "eth0")),
        ("192.0.2.1", "", Reach("192.0.2.1", "192.0.2.1")),
        ("192.0.2.1", "docker0", Reach("192.0.2.1", "172.17.0.1", "", "docker0")),
        ("", "172.17.0.1", Reach("192.0.2.1", "172.17.0.1", "eth0", "")),
    ],
)
def test_what_is_not_asked_for_by_itself_is_followed(advertise, data_path, expected):
    assert reach(advertise, data_path, OWN) == expected


def test_where_a_host_is_after_its_address_changed():
    # It has the address still, on whatever link.
    assert still("192.0.2.1", "eth0", [*TWO, ("eth0", "192.0.2.9/24")]) == "192.0.2.1"
    # A floating one, one of the link itself and one of the other family are no better.
    others = [("eth0", "192.0.2.7/32"), ("eth0", "169.254.0.1/16"), ("eth0", "2001:db8::1/64")]
    assert still("192.0.2.1", "eth0", [*others, ("eth0", "192.0.2.9/24")]) == "192.0.2.9"
    assert still("192.0.2.1", "eth0", others) == "192.0.2.7"
    assert still("192.0.2.1", "eth0", [("eth1", "192.0.2.9/24")]) == "192.0.2.1"
    # It was asked for by itself.
    assert still("192.0.2.1", "", [("eth0", "192.0.2.9/24")]) == "192.0.2.1"


def test_the_other_family_is_offered_for_tunnels():
    both = [*OWN, ("eth1", "2001:db8::7/64"), ("eth0", "fe80::1/64"), ("eth0", "2001:db8::1/64")]
    here = reach("", "", both)
    assert other_end(here, both) == "2001:db8::1"
    assert other_end(here, OWN) == ""
    assert other_end(reach("2001:db8::1", "", both), both) == "192.0.2.1"
    assert ended(here, "", both) == ended(here, "192.0.2.1", both) == here
    chosen = Reach("192.0.2.1", "2001:db8::1", "eth0", "eth0")
    assert ended(here, "2001:db8::1", both) == chosen
