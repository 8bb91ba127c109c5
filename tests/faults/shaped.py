"""Frames and tunnel packets that are right in all but one thing, as hypothesis strategies: what a
parser meets that was written for the other things.

A frame claims to be from one address and is sent from another's place; each field that says so, or
that leads to it, is wrong at some time.
"""

import socket
import struct

import frame
from hypothesis import strategies as st

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
TAGS = [(), ((0x8100, 0),), ((0x8100, 7),), ((0x8100, 0), (0x8100, 0)), ((0x88A8, 0), (0x8100, 0))]
"""No VLAN tag, one that means none, one that means a VLAN, and tags in tags."""
ADVERTISEMENT, SOLICITATION, ROUTER, REDIRECT = 136, 135, 134, 137
ALL_NODES = "ff02::1"
OVERRIDE = 0x20000000
NOBODY = ["00:00:00:00:00:00", frame.EVERYBODY, "01:00:5e:00:00:01", "02:00:00:00:00:99"]
OCTET, SHORT = st.integers(0, 0xFF), st.integers(0, 0xFFFF)


def tagged(target, source, tags, kind, payload):
    """An Ethernet frame behind VLAN tags."""
    inner = kind
    for kind_of_tag, vlan in reversed(tags):
        payload = struct.pack("!HH", vlan, inner) + payload
        inner = kind_of_tag
    return frame.ethernet(target, source, inner, payload)


@st.composite
def one_wrong(draw, right, wrong):
    """The fields of ``right``, one of them, if any, as a strategy of ``wrong`` says."""
    name = draw(st.sampled_from([None, *wrong]))
    return right if name is None else right | {name: draw(wrong[name])}


@st.composite
def cut(draw, whole):
    """Now and then not the whole of it, or more."""
    found = draw(whole)
    return draw(st.sampled_from([found, found, found, found[: draw(st.integers(0, len(found)))],
                                 found + b"\0" * 50]))  # fmt: skip


@st.composite
def arps(draw, me, others, mac):
    """ARP packets of ``me``: answers, questions and announcements, for all of ``others``."""
    told = draw(st.sampled_from([*others, me]))
    right = {"hardware": 1, "protocol": IPV4, "hlen": 6, "plen": 4, "op": 2, "sha": mac(me),
             "spa": told, "tha": frame.EVERYBODY, "tpa": told}  # fmt: skip
    found = draw(one_wrong(right, {
        "hardware": SHORT, "protocol": SHORT, "hlen": OCTET, "plen": OCTET,
        "op": st.integers(0, 12), "sha": st.sampled_from([*NOBODY, *map(mac, others)]),
        "spa": st.sampled_from([*others, "0.0.0.0", "255.255.255.255", "224.0.0.1"]),
        "tpa": st.sampled_from(others), "tha": st.sampled_from([*NOBODY, *map(mac, others)]),
    }))  # fmt: skip
    return struct.pack(
        "!HHBBH", *(found[each] for each in ("hardware", "protocol", "hlen", "plen", "op"))
    ) + b"".join((frame.mac(found["sha"]), socket.inet_aton(found["spa"]),
                  frame.mac(found["tha"]), socket.inet_aton(found["tpa"])))  # fmt: skip


@st.composite
def packets(draw, me, others):
    """IP packets to one of ``others``, from whomever: fragments, options, lengths that are none."""
    text = b"who am I"
    target = draw(st.sampled_from(others))
    right = {"version": 0x45, "length": 28 + len(text), "fragment": 0, "ttl": 64, "protocol": 17,
             "source": me, "check": None, "port": 9, "told": 8 + len(text)}  # fmt: skip
    found = draw(one_wrong(right, {
        "version": st.sampled_from([0x44, 0x4F, 0x65, 0x05, 0x00, 0x46]), "length": SHORT,
        "fragment": st.sampled_from([0x2000, 0x2001, 0x0001, 0x1FFF, 0x4000, 0x8000]),
        "ttl": st.sampled_from([0, 1, 255]), "protocol": OCTET, "check": SHORT, "told": SHORT,
        "source": st.sampled_from([*others, "0.0.0.0", "255.255.255.255", "127.0.0.1",
                                   "224.0.0.1", "10.50.0.0", "10.50.0.255"]),
        "port": SHORT,
    }))  # fmt: skip
    ends = socket.inet_aton(found["source"]) + socket.inet_aton(target)
    fields = (found["version"], 0, found["length"], 7, found["fragment"], found["ttl"],
              found["protocol"])  # fmt: skip
    check = found["check"]
    if check is None:
        check = frame.checksum(struct.pack("!BBHHHBBH", *fields, 0) + ends)
    header = struct.pack("!BBHHHBBH", *fields, check) + ends
    return header + struct.pack("!HHHH", 40000, found["port"], found["told"], 0) + text


@st.composite
def neighbours(draw, me, others, mac):
    """ICMPv6 of neighbours and routers: it says that addresses of ``others`` are at ``mac``."""
    told = draw(st.sampled_from(others))
    right = {"kind": ADVERTISEMENT, "flags": OVERRIDE, "told": told, "option": 2, "words": 1,
             "hops": 255, "source": me, "target": ALL_NODES}  # fmt: skip
    found = draw(one_wrong(right, {
        "kind": st.sampled_from([SOLICITATION, ROUTER, REDIRECT, 133, 138]),
        "flags": st.sampled_from([0, 0xE0000000, 0xFFFFFFFF]), "told": st.sampled_from(others),
        "option": st.sampled_from([0, 1, 3, 5, 255]), "words": OCTET,
        "hops": st.sampled_from([0, 1, 64, 254]),
        "source": st.sampled_from([*others, "::", "fe80::9", "ff02::1"]),
        "target": st.sampled_from(others),
    }))  # fmt: skip
    option = struct.pack("!BB", found["option"], found["words"]) + frame.mac(mac)
    if found["kind"] == ROUTER:
        prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 9000, 9000, 0)
        prefix += socket.inet_pton(socket.AF_INET6, "fd66::")
        body = struct.pack("!BBHBBHII", ROUTER, 0, 0, 64, 0, 1800, 0, 0) + prefix + option
    else:
        body = struct.pack("!BBHI", found["kind"], 0, 0, found["flags"])
        body += socket.inet_pton(socket.AF_INET6, found["told"]) + option
    return frame.icmp6(found["source"], found["target"], body, found["hops"])


@st.composite
def frames(draw, kind, payloads, targets, source):
    """Frames with such a payload to one of ``targets`` (MACs), tagged or not."""
    right = {"tags": (), "kind": kind, "target": draw(st.sampled_from(targets)), "source": source}
    found = draw(one_wrong(right, {
        "tags": st.sampled_from(TAGS), "kind": st.sampled_from([0, 40, 0x0600, 0x8035, 0x9000]),
        "target": st.sampled_from([*NOBODY, "01:80:c2:00:00:00", "33:33:00:00:00:01"]),
        "source": st.sampled_from(NOBODY),
    }))  # fmt: skip
    payload = draw(cut(payloads))
    return tagged(found["target"], found["source"], found["tags"], found["kind"], payload)


@st.composite
def tunnelled(draw, vni, inner):
    """Tunnel packets' payloads with a frame of ``inner`` in them."""
    found = draw(one_wrong({"flags": 0x08, "reserved": 0, "vni": vni, "last": 0}, {
        "flags": OCTET, "reserved": st.integers(0, 0xFFFFFF),
        "vni": st.sampled_from([0, vni - 1, vni + 1, 1, 0xFFFFFF]), "last": OCTET,
    }))  # fmt: skip
    head = struct.pack("!II", found["flags"] << 24 | found["reserved"],
                       found["vni"] << 8 | found["last"])  # fmt: skip
    return draw(cut(st.just(head + draw(inner))))
