"""What a host says of itself is held to what others can make something of."""

import pytest

from skep.cluster.believed import check_addresses, check_key
from skep.cluster.context import Context
from skep.cluster.control import add_node, update_node_status
from skep.cluster.state import Draft, State
from skep.model.cluster import Node
from skep.model.errors import Invalid
from skep.model.secure import TunnelKey

PUBLIC = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="


def test_addresses_of_hosts():
    check_addresses("192.0.2.1", "", "fd00::1")


@pytest.mark.parametrize(
    "text",
    [
        "nowhere",
        "192.0.2.1/24",
        "192.0.2.1\n",
        "224.0.0.1",
        "ff02::1",
        "::",
        "0.0.0.0",
        "fe80::1%e",
    ],
)
def test_what_is_no_host_s_address(text):
    with pytest.raises(Invalid, match="address"):
        check_addresses("192.0.2.1", text)


def test_keys():
    check_key(TunnelKey(1, PUBLIC, 51830))


@pytest.mark.parametrize(
    "key",
    [
        TunnelKey(1, "theirs", 51830),
        TunnelKey(1, f"{PUBLIC}\nAllowedIPs = 0.0.0.0/0", 51830),
        TunnelKey(1, f"{PUBLIC}\n", 51830),
        TunnelKey(1, PUBLIC, 0),
        TunnelKey(1, PUBLIC, 65536),
        TunnelKey(-1, PUBLIC, 51830),
    ],
)
def test_what_is_no_key(key):
    with pytest.raises(Invalid, match="tunnel"):
        check_key(key)


def test_a_member_cannot_be_where_nobody_can_be():
    """The others would plan tunnels to there."""
    draft = Draft(State())
    context = Context(now=1.0, new_id=lambda: "id")
    with pytest.raises(Invalid, match="'nowhere' is no IP address"):
        add_node(draft, context, Node(id="n", address="192.0.2.1", vtep="nowhere"))
    draft.put(Node(id="n", address="192.0.2.1", vtep="192.0.2.1"))
    for claim in ({"vtep": "nowhere"}, {"address": "224.0.0.1"}):
        with pytest.raises(Invalid):
            update_node_status(draft, context, "n", state="ready", **claim)
    assert (draft.nodes["n"].address, draft.nodes["n"].vtep) == ("192.0.2.1", "192.0.2.1")
