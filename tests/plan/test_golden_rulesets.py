"""The rules that a host has for a user's bridge, over the product of what can be said of it: all
options alone, as what differs from a bridge of which nothing is said, and in pairs, as what follows
from neither of the two alone.

Reviewed by people, in ``golden/bridge_rules.txt``. With ``SKEP_GOLDEN=write`` in the environment
the file is written; without, what differs from it fails.
"""

import difflib
import itertools
import os
from pathlib import Path

import msgspec
from plan_scene import bridge_leg

from skep.kernel.nfttext import replace_table
from skep.model.host import Binding, Bridge, HostView, Sandbox
from skep.model.netstate import HOST
from skep.plan.desired import desired

FILE = Path(__file__).parent / "golden" / "bridge_rules.txt"

OPTIONS = {
    "--ipv6": {"address6": "fd00:1::1/64"},
    "--internal": {"internal": True},
    "enable_icc=false": {"icc": False},
    "enable_ip_masquerade=false": {"masquerade": False},
    "inhibit_ipv4=true": {"inhibited": True},
    "gateway_mode_ipv4=nat-unprotected": {"mode": "nat-unprotected"},
    "gateway_mode_ipv4=routed": {"mode": "routed"},
    "gateway_mode_ipv4=isolated": {"mode": "isolated", "inhibited": True},
    "gateway_mode_ipv6=routed": {"mode6": "routed"},
    "host_ipv4=192.168.50.7": {"source": "192.168.50.7"},
    "host_ipv6=2001:db8::7": {"source6": "2001:db8::7"},
    "trusted_host_interfaces=lan0": {"trusted": ("lan0",)},
    "host_binding_ipv4=127.0.0.1": {},
}
"""What is said, and what that makes of the bridge; the last one is about its ports."""
BINDING = "host_binding_ipv4=127.0.0.1"


def ruleset(*said):
    """The host's tables by family: a bridge with two containers, one of which publishes a port, and
    another bridge of which nothing is said."""
    members = {"address": "10.1.0.1/16"}
    for each in said:
        members |= OPTIONS[each]
    red = Bridge(network_id="red", network_name="red", name="red", named=True, **members)
    blue = Bridge(network_id="blue", network_name="blue", name="blue", named=True,
                  address="10.2.0.1/16")  # fmt: skip
    address = "127.0.0.1" if BINDING in said else ""
    port = Binding(protocol="tcp", port=80, published=8080, address=address)
    boxes = (box("one", "10.1.0.2", red, port), box("two", "10.1.0.3", red))
    view = HostView(vtep="192.168.50.1", bridges=(red, blue), sandboxes=boxes)
    tables = sorted(desired(view)[HOST].tables, key=lambda each: each.family)
    return {each.family: [*map(in_order, replace_table(each).splitlines())] for each in tables}


def in_order(line):
    """A set's elements have no order of their own."""
    before, braces, rest = line.partition("elements = { ")
    elements = sorted(rest.removesuffix(" }").split(", "))
    return f"{before}{braces}{', '.join(elements)} }}" if braces else line


def box(name, address, bridge, *bindings):
    leg = bridge_leg(name, bridge.network_id, address, 0)
    if bridge.address6:
        leg = msgspec.structs.replace(leg, address6=f"fd00:1::{address[-1]}/64")
    return Sandbox(id=name.ljust(64, "0"), container_name=name, endpoints=(leg,), gateway=leg.id,
                   bindings=bindings)  # fmt: skip


def pairs():
    """Each pair of options of which one does not take the other's place."""
    for one, other in itertools.combinations(OPTIONS, 2):
        if one.partition("=")[0] != other.partition("=")[0]:
            yield one, other


def differences(said):
    """What options change of the rules of a bridge of which nothing is said."""
    plain, other = ruleset(), ruleset(*said)
    changes = []
    for family in sorted({*plain, *other}):
        tables = (plain.get(family, []), other.get(family, []))
        changes += list(difflib.unified_diff(*tables, n=0, lineterm=""))[2:]
    return [line for line in changes if not line.startswith("@@")]


def together(one, other):
    """What two options do together and neither alone, and what they do alone and not together."""
    alone = dict.fromkeys([*differences([one]), *differences([other])])
    both = dict.fromkeys(differences([one, other]))
    return [
        *(line for line in both if line not in alone),
        *(f"not {line}" for line in alone if line not in both),
    ]


def written():
    lines = ["# nothing said", *itertools.chain(*ruleset().values())]
    for one in OPTIONS:
        lines += ["", f"# {one}", *(differences([one]) or ["the same"])]
    for one, other in pairs():
        if found := together(one, other):
            lines += ["", f"# {one} {other}: beside what each does alone", *found]
    return "\n".join(lines) + "\n"


def test_the_rules_of_a_bridge_are_as_reviewed():
    text = written()
    if os.environ.get("SKEP_GOLDEN") == "write":
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(text)
    golden = FILE.read_text()
    differing = difflib.unified_diff(golden.splitlines(), text.splitlines(), "reviewed", "planned",
                                     n=2, lineterm="")  # fmt: skip
    assert golden == text, "\n".join(["SKEP_GOLDEN=write writes it; review it:", *differing])


def test_the_order_in_which_options_are_said_does_not_matter():
    for one, other in pairs():
        assert ruleset(one, other) == ruleset(other, one)
