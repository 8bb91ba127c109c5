"""Reading what the links of a namespace have carried.

Source: linux/if_link.h (rtnl_link_stats64), bridge(8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from skep.kernel.handles import Handle
from skep.kernel.rtnetlink import inet, links, neighbours
from skep.model.glance import Space
from skep.model.netstate import GROUP, HOST


def space(handle: Handle, also: str) -> Space:
    """A namespace's links with their counters, and where its tunnels lead. Of the host's own links
    those of our group, and that with the address ``also``. Raises OSError."""
    found = [(links.parse(each), each) for each in handle.socket.dump(links.get_traffic())]
    names = {link.index: link.name for link, _ in found}
    carrier = _carrier(handle, names, also) if handle.name == HOST else ""
    kept = [
        (link, message)
        for link, message in found
        if handle.name != HOST or link.group == GROUP or link.name == carrier
    ]
    tunnels = {link.index: link.name for link, _ in kept if link.kind == "vxlan"}
    entries = [
        neighbours.parse_fdb(message, tunnels)
        for index in tunnels
        for message in handle.socket.dump(neighbours.get_fdb(index))
    ]
    return Space(
        gauges=tuple(links.gauge(*each) for each in kept if each[0].name != "lo"),
        remotes=dict(Counter(each.vtep for each in entries if each is not None)),
    )


def _carrier(handle: Handle, names: Mapping[int, str], address: str) -> str:
    """The name of the link that has an address; "" if none has."""
    for message in handle.socket.dump(inet.get_addresses()) if address else ():
        found = inet.parse_address(message, names)
        if found is not None and found.address.partition("/")[0] == address:
            return found.link
    return ""
