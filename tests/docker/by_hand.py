"""A packet's way, found as somebody would by hand: with ip, bridge, nft and nsenter alone.

Every method answers facts by the names that `skep trace --json` gives them.
"""

import json
import re


class Hand:
    """Looks into the hosts of a lab."""

    def __init__(self, lab):
        self._lab = lab

    def ask(self, host, namespace, command):
        return json.loads(self._lab.inside_of(host, namespace, command) or "[]")

    def link(self, host, namespace, name):
        """Index, peer's index and MTU of a link."""
        (found,) = self.ask(host, namespace, f"ip -j link show dev {name}")
        facts = {"link": name, "ifindex": found["ifindex"], "mtu": found["mtu"]}
        if "link_index" in found:
            facts["peer_ifindex"] = found["link_index"]
        return facts

    def route(self, host, namespace, target, mark=0):
        """The kernel's own choice: link, gateway, and what the link is."""
        by = f" mark {mark}" if mark else ""
        (found,) = self.ask(host, namespace, f"ip -j route get {target}{by}")
        facts = self.link(host, namespace, found["dev"])
        return facts | {"via": found.get("gateway", ""), "table": int(found.get("table", 254))}

    def source(self, host, namespace, target):
        (found,) = self.ask(host, namespace, f"ip -j route get {target}")
        return found["prefsrc"]

    def other_end(self, host, namespace, facts):
        """The port in a bridge's namespace that a link's peer index names."""
        links = self.ask(host, namespace, "ip -j link")
        (found,) = (
            each
            for each in links
            if each["ifindex"] == facts["peer_ifindex"]
            and each.get("link_index") == facts["ifindex"]
            and each["ifname"].startswith("veth")
        )
        return {
            "port": found["ifname"],
            "bridge": found["master"],
            "ifindex": found["ifindex"],
            "peer_ifindex": found["link_index"],
            "mtu": found["mtu"],
        }

    def entry(self, host, namespace, address):
        """Who has an address behind the tunnel, and at which host."""
        neighbours = self.ask(host, namespace, "ip -j neigh show dev vxlan0")
        (mac,) = (each["lladdr"] for each in neighbours if each["dst"] == address)
        entries = self.ask(host, namespace, "bridge -j fdb show dev vxlan0")
        (vtep,) = (each["dst"] for each in entries if each["mac"] == mac and "dst" in each)
        return {"neighbour": address, "mac": mac, "vtep": vtep}

    def tunnel(self, host, namespace):
        (found,) = self.ask(host, namespace, "ip -d -j link show dev vxlan0")
        data = found["linkinfo"]["info_data"]
        return {
            "vni": data["id"],
            "port": data["port"],
            "local": data["local"],
            "link": "vxlan0",
            "ifindex": found["ifindex"],
            "mtu": found["mtu"],
            "bridge": found["master"],
        }

    def underlay(self, host):
        """The link that has the host's address."""
        facts = self.link(host, "", "eth0")
        facts.pop("peer_ifindex", None)
        return facts

    def holder(self, host, namespace, mac):
        """The link that has a MAC."""
        links = self.ask(host, namespace, "ip -j link")
        (name,) = (each["ifname"] for each in links if each.get("address") == mac)
        return self.link(host, namespace, name)

    def map(self, host, namespace, name):
        """An nft map of Skep's, as text without white space."""
        listed = self._lab.inside_of(host, namespace, f"nft list map ip skep {name}")
        return re.sub(r"\s+", " ", listed)

    def rule(self, host, namespace, facts):
        """The text of the rule that a hop names by chain and handle."""
        table = facts["table"]
        listed = self._lab.inside_of(host, namespace, f"nft -a list chain {table} {facts['chain']}")
        (line,) = (
            each for each in listed.splitlines() if each.endswith(f"# handle {facts['handle']}")
        )
        return line.strip()

    def rulesets(self):
        """All rules of all namespaces of all hosts, without counters."""
        script = (
            "nft -s -a list ruleset; for n in $(ls /run/netns); do echo in $n; "
            "nsenter --net=/run/netns/$n nft -s -a list ruleset; done"
        )
        return {host: self._lab.run(host, "sh", "-c", script) for host in self._lab.hosts}

    def burdens(self):
        """All that a packet can meet on its way beside what is planned, by host: sockets that read
        along, rules, queues with their filters, programs, links that take everything."""
        return {host: self._lab.run(host, "sh", "-c", BURDENS) for host in self._lab.hosts}


BURDENS = """
look() {
    echo "== $1"; shift
    "$@" cat /proc/net/packet | tail -n +2 | wc -l
    "$@" nft -s list ruleset
    "$@" ip -o -d link | grep -oE "PROMISC|promiscuity [1-9]|xdp|allmulti [1-9]"
    "$@" tc qdisc | grep -v "qdisc noqueue"
}
look host env
for space in /run/netns/*; do look "$space" nsenter --net="$space"; done
true
"""
