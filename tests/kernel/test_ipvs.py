"""IPVS's messages, byte for byte. What is sent is what ipvsadm(8) 1.31 sends for the same, what is
read was said by a kernel 6.1 (statistics left out)."""

from __future__ import annotations

import sys

import pytest

from skep.kernel import genl, ipvs
from skep.kernel.rtnetlink.message import Message
from skep.model.netstate import Destination, Timeouts, VirtualService

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the bytes are of a PC")

FOUR = VirtualService(mark=276)
SIX = VirtualService(mark=277, family="ip6", scheduler="mh", affinity=600)


def message(text):
    return Message(32, bytes.fromhex(text.replace(" ", "")))


def test_a_service():
    # ipvsadm -A -f 276 -s rr
    assert ipvs.service_attribute(FOUR, whole=True).hex() == (
        "38000180" "0600010002000000" "0800050014010000" "0700060072720000"
        "0c00070000000000ffffffff" "0800080000000000" "08000900ffffffff"
    )  # fmt: skip
    assert ipvs.service_attribute(FOUR, whole=False).hex() == (
        "14000180" "0600010002000000" "0800050014010000"
    )  # fmt: skip


def test_a_service_of_ipv6_that_clients_stay_with():
    # ipvsadm -A -f 277 -6 -s mh -p 600 -M 128
    assert ipvs.service_attribute(SIX, whole=True).hex() == (
        "38000180" "060001000a000000" "0800050015010000" "070006006d680000"
        "0c00070001000000ffffffff" "0800080058020000" "0800090080000000"
    )  # fmt: skip


def test_a_destination():
    # ipvsadm -a -f 276 -r 10.0.0.5 -m -w 3
    assert ipvs.destination_attribute(Destination("10.0.0.5", 3), whole=True).hex() == (
        "48000280" "140001000a000005000000000000000000000000" "0600020000000000"
        "06000b0002000000" "0800030000000000" "0800040003000000" "0800050000000000"
        "0800060000000000"
    )  # fmt: skip
    assert ipvs.destination_attribute(Destination("fd00::5", 3), whole=False).hex() == (
        "28000280" "14000100fd000000000000000000000000000005" "0600020000000000"
        "06000b000a000000"
    )  # fmt: skip


def test_another_way_to_forward_is_never_sent():
    with pytest.raises(AssertionError):
        ipvs.destination_attribute(Destination("10.0.0.5", 3, method="direct"), whole=True)


def test_time_outs():
    # ipvsadm --set 432000 120 300
    assert ipvs.timeouts_attributes(Timeouts(432000, 120, 300)).hex() == (
        "0800040080970600" "0800050078000000" "080006002c010000"
    )  # fmt: skip


def test_the_header_of_a_request():
    request = genl.request(32, ipvs.GET_CONFIG, ipvs.VERSION)
    assert (request.kind, request.flags, request.body.hex()) == (32, 0, "0d010000")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("01010000 38000100 0600010002000000 0800050014010000 0700060072720000"
         "0c00070002000000ffffffff 0800080000000000 08000900ffffffff", FOUR),
        ("01010000 38000100 060001000a000000 0800050015010000 070006006d680000"
         "0c00070003000000ffffffff 0800080058020000 0800090080000000", SIX),
        # One by protocol, address and port is not Skep's.
        ("01010000 4c000100 0600010002000000 0600020006000000 080003000a000009"
         "0600040000500000 0700060072720000 0c00070002000000ffffffff 0800080000000000"
         "08000900ffffffff", None),
    ],
)  # fmt: skip
def test_services_are_read(said, meant):
    assert ipvs.parse_service(message(said)) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("05010000 78000200 140001000a000005000000000000000000000000 0600020000000000"
         "0800030000000000 0800040003000000 05000d0000000000 06000e0000000000 06000f0000000000"
         "0800050000000000 0800060000000000 0800070000000000 0800080000000000 0800090000000000"
         "06000b0002000000", Destination("10.0.0.5", 3)),
        ("05010000 60000200 14000100fd000000000000000000000000000006 0600020000000000"
         "0800030000000000 0800040000000000 0800050000000000 0800060000000000 0800070000000000"
         "0800080000000000 0800090000000000 06000b000a000000", Destination("fd00::6", 0)),
        # Without its family, as old kernels tell it; by direct routing, to a port of its own.
        ("05010000 38000200 140001000a000005000000000000000000000000 060002001f900000"
         "0800030003000000 0800040001000000", Destination("10.0.0.5", 1, 8080, "direct")),
    ],
)  # fmt: skip
def test_destinations_are_read(said, meant):
    assert ipvs.parse_destination(message(said)) == meant


def test_time_outs_are_read():
    said = "0c010000 0800040080970600 0800050078000000 080006002c010000"
    assert ipvs.parse_timeouts(message(said)) == Timeouts(432000, 120, 300)
