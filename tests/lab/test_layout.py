from pathlib import Path

import pytest

from skep.lab.layout import Lab, host_count, host_named, lab_named
from skep.model.errors import Invalid, Missing


@pytest.mark.parametrize("name", ["lab", "a", "lab-2", "a" * 32])
def test_a_lab_has_a_plain_name(name):
    assert lab_named(name) == Lab(name)


@pytest.mark.parametrize(
    "name", ["", "Lab", "2lab", "-lab", "a/b", "..", "a b", "a" * 33, "lab\n", "läb"]
)
def test_other_names_are_refused(name):
    with pytest.raises(Invalid, match="is not a lab's name"):
        lab_named(name)


def test_hosts_are_numbered_from_one_and_addressed_from_eleven():
    first, second = Lab("lab").hosts(2)
    assert (first.name, first.address) == ("h1", "192.168.90.11")
    assert (second.name, second.address) == ("h2", "192.168.90.12")
    assert Lab("lab").host(100).address == "192.168.90.110"


def test_the_socket_is_at_the_place_that_users_are_told():
    assert Lab("lab").host(1).socket == Path("/run/skep-lab/lab/h1/run/docker.sock")


def test_a_socket_path_fits_into_an_address():
    longest = lab_named("a" * 32).host(100).socket
    assert len(str(longest)) < 108


@pytest.mark.parametrize("name", ["h0", "h4", "H1", "1", "h01", "h", "", "h1 ", "localhost"])
def test_a_host_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(Missing, match="it has h1 to h3"):
        host_named(Lab("lab"), name, 3)


def test_a_lonely_host_is_called_by_its_name():
    assert host_named(Lab("lab"), "h1", 1).number == 1
    with pytest.raises(Missing, match=r"it has h1$"):
        host_named(Lab("lab"), "h2", 1)


@pytest.mark.parametrize("count", [0, -1, 101])
def test_the_number_of_hosts_has_bounds(count):
    with pytest.raises(Invalid, match="between 1 and 100"):
        host_count(count)
