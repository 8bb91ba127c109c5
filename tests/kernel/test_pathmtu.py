"""What a host's kernel believes of a path, once it was told."""

import socket

import pytest

from skep.kernel import pathmtu
from skep.model.netstate import HOST

pytestmark = [pytest.mark.root]

PORT = 7946


def bound(family):
    """As the mesh's socket is: it never has its packets cut."""
    opened = socket.socket(family, socket.SOCK_DGRAM)
    level, option = (41, 23) if family == socket.AF_INET6 else (0, 10)
    opened.setsockopt(level, option, 3)
    opened.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", PORT))
    return opened


@pytest.mark.parametrize(
    ("family", "own", "peer", "length"),
    [
        (socket.AF_INET, "192.0.2.1", "192.0.2.2", 24),
        (socket.AF_INET6, "fd00:90::1", "fd00:90::2", 64),
    ],
)
async def test_the_kernel_believes_it(host, kernel, family, own, peer, length):
    host.run(HOST, "ip link add e0 type veth peer name e1")
    host.run(HOST, f"ip address add {own}/{length} dev e0 nodad")
    for link in ("lo", "e0", "e1"):
        host.run(HOST, f"ip link set {link} up")
    assert "mtu" not in host.run(HOST, f"ip route get {peer}")
    opened = [await kernel.within(HOST, lambda: bound(family))]
    opened.append(await kernel.within(HOST, lambda: pathmtu.opened(family)))
    try:
        pathmtu.tell(opened[1], own, peer, PORT, 1400)
        assert "mtu 1400" in host.run(HOST, f"ip route get {peer}")
        # Others' is another matter.
        other = peer[:-1] + "3"
        assert "mtu" not in host.run(HOST, f"ip route get {other}")
        pathmtu.tell(opened[1], own, peer, PORT, 1300)
        assert "mtu 1300" in host.run(HOST, f"ip route get {peer}")
    finally:
        for each in opened:
            each.close()
