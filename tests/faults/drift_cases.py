"""What somebody may do to a host behind Skep's back, by name. %words% are those of `FaultLab`."""

from drift_case import Drift

IN = "ip netns exec %{}% "
OVERLAY, INGRESS, BOX, TASK = (IN.format(each) for each in ("overlay", "ingress", "box", "task"))
SBOX = "ip netns exec ingress_sbox "
STRIPPED = "sed -E 's/^[0-9]+: //; s/@[^:]*//; s/ state [A-Z]+//; s/NO-CARRIER,|,LOWER_UP//g'"


def link(name, where=""):
    """A link without what differs between two that are alike."""
    return f"{where}ip -o link show dev {name} | {STRIPPED} | sed 's/link.ether.*//'"


def bare(name, where=""):
    """A link without the ends that it hangs on."""
    return f"{where}ip -o link show dev {name} | {STRIPPED} | sed -E 's/link-netns.*//'"


def pairs(where):
    """The links of a namespace, without numbers."""
    return f"{where}ip -o link | {STRIPPED} | sed -E 's/ link.ether.*//'"


def addresses(name, where=""):
    return f"{where}ip -o addr show dev {name} scope global | sed 's/^[0-9]*//'"


def rules(table="ip skep", where=""):
    return f"{where}nft -s list table {table}"


PORT = "$(ip -o link | grep -o 'veth[0-9a-f]*@' | head -n1 | tr -d @)"
"""A port of the host's bridges: the container of the sandbox that comes first."""
NEW_PAIR = (r"/link \d+: (eth\d|veth\w+)", r"/(addr|route) .*eth\d")

LINKS = {
    "tunnel deleted": Drift(
        "tunnel", OVERLAY + "ip link del vxlan0", link("vxlan0", OVERLAY),
        ("AddLink vxlan0", "SetNeighbour", "SetFdb"), (r"/link \d+: vxlan0",), fast=True,
    ),
    "tunnel down": Drift(
        "tunnel", OVERLAY + "ip link set vxlan0 down", bare("vxlan0", OVERLAY),
        ("SetLink vxlan0", "SetNeighbour"), fast=True,
    ),
    "tunnel with another MTU": Drift(
        "MTU", OVERLAY + "ip link set vxlan0 mtu 1300", bare("vxlan0", OVERLAY),
        ("SetLink (vxlan0|br0)",),
    ),
    "tunnel with another VNI": Drift(
        "tunnel",
        OVERLAY + "ip link del vxlan0 && ip link add vxlan0 type vxlan id 77 dstport 4799 && "
        "ip link set vxlan0 group 23534 netns %overlay%",
        OVERLAY + "ip -o -d link show dev vxlan0 | grep -o 'vxlan id [0-9]*'",
        ("DelLink", "AddLink vxlan0", "SetNeighbour", "SetFdb"), (r"/link \d+: vxlan0",),
    ),
    "tunnel off its bridge": Drift(
        "bridge port", OVERLAY + "ip link set vxlan0 nomaster", link("vxlan0", OVERLAY),
        ("SetLink vxlan0",), fast=True,
    ),
    "overlay bridge deleted": Drift(
        "overlay bridge", OVERLAY + "ip link del br0", pairs(OVERLAY),
        ("AddLink br0", "AddAddress", "SetLink (vxlan0|veth)", "SetSysctl"),
        (r"/(link|addr|route) .*br0",), fast=True,
    ),
    "overlay bridge down": Drift(
        "overlay bridge", OVERLAY + "ip link set br0 down", bare("br0", OVERLAY),
        ("SetLink br0",),
    ),
    "host bridge deleted": Drift(
        "host bridge", "ip link del docker_gwbridge", pairs(""),
        ("AddLink docker_gwbridge", "AddAddress", "SetLink veth", "SetSysctl"),
        (r"^/(link|addr|route) .*docker_gwbridge", r"^/link \d+: veth"), fast=True,
    ),
    "host bridge down": Drift(
        "host bridge", "ip link set docker_gwbridge down", bare("docker_gwbridge"),
        ("SetLink docker_gwbridge", "AddAddress"),
    ),
    "host bridge with another MAC": Drift(
        "MAC", "ip link set docker_gwbridge address 02:00:00:00:00:99", bare("docker_gwbridge"),
        ("SetLink docker_gwbridge",),
    ),
    "container's interface deleted": Drift(
        "interface", BOX + "ip link del eth0", pairs(BOX),
        ("AddLink veth", "AddAddress", "AddRoute", "SetSysctl"), NEW_PAIR, fast=True,
    ),
    "container's interface down": Drift(
        "interface", BOX + "ip link set eth0 down", bare("eth0", BOX),
        ("SetLink eth0", "AddRoute"), fast=True,
    ),
    "container's interface with another MAC": Drift(
        "MAC", BOX + "ip link set eth0 address 02:00:00:00:00:98", bare("eth0", BOX),
        ("DelLink", "AddLink", "AddAddress", "AddRoute", "SetSysctl"), NEW_PAIR,
    ),
    "container's interface renamed": Drift(
        "interface",
        BOX + "sh -c 'ip link set eth0 down && ip link set eth0 name eth9 && ip link set eth9 up'",
        pairs(BOX), ("DelLink", "AddLink", "AddAddress", "AddRoute", "SetSysctl"), NEW_PAIR,
    ),
    "container's interface moved to another namespace": Drift(
        "interface", BOX + "ip link set eth0 netns ingress_sbox name lost0", pairs(BOX),
        ("DelLink", "AddLink", "AddAddress", "AddRoute", "SetSysctl"), NEW_PAIR, fast=True,
    ),
    "container's interface with another MTU": Drift(
        "MTU", BOX + "ip link set eth0 mtu 1280", bare("eth0", BOX), ("SetLink eth0",), fast=True,
    ),
    "port deleted": Drift(
        "port", OVERLAY + "ip link del veth1", pairs(OVERLAY),
        ("AddLink veth1", "AddAddress", "AddRoute", "SetSysctl"), NEW_PAIR,
    ),
    "port down": Drift(
        "port", OVERLAY + "ip link set veth1 down", bare("veth1", OVERLAY), ("SetLink veth1",),
    ),
    "port off its bridge": Drift(
        "bridge port", OVERLAY + "ip link set veth1 nomaster", link("veth1", OVERLAY),
        ("SetLink veth1",), fast=True,
    ),
    "port out of its group": Drift(
        "group", OVERLAY + "ip link set veth1 group 0", bare("veth1", OVERLAY),
        ("SetLink veth1",),
    ),
    "host's port off its bridge": Drift(
        "bridge port", f"ip link set {PORT} nomaster", pairs(""), ("SetLink veth",),
    ),
    "host's port deleted": Drift(
        "port", f"ip link del {PORT}", pairs(""),
        ("AddLink veth", "AddAddress", "AddRoute", "SetSysctl"), NEW_PAIR,
    ),
    "loopback down": Drift(
        "loopback", BOX + "ip link set lo down", bare("lo", BOX), ("SetLink lo",),
    ),
}  # fmt: skip

ADDRESSES = {
    "container's address deleted": Drift(
        "address", BOX + "ip addr flush dev eth0 scope global", addresses("eth0", BOX),
        ("AddAddress",), fast=True,
    ),
    "container's address altered": Drift(
        "address",
        BOX + "sh -c 'ip addr flush dev eth0; ip addr add 10.50.0.99/24 dev eth0'",
        addresses("eth0", BOX), ("AddAddress", "DelAddress"),
    ),
    "address added": Drift(
        "surplus address", BOX + "ip addr add 10.99.0.1/24 dev eth0", addresses("eth0", BOX),
        ("DelAddress",), fast=True,
    ),
    "gateway's address deleted": Drift(
        "gateway address", OVERLAY + "ip addr flush dev br0 scope global",
        addresses("br0", OVERLAY), ("AddAddress",),
    ),
    "host bridge's address deleted": Drift(
        "gateway address", "ip -4 addr flush dev docker_gwbridge",
        addresses("docker_gwbridge"), ("AddAddress",), fast=True,
    ),
    "virtual address deleted": Drift(
        "virtual address",
        "ip -n ingress_sbox addr del "
        "$(ip -n ingress_sbox -o -4 addr show dev eth0 | grep -o '[0-9.]*/32') dev eth0",
        addresses("eth0", SBOX), ("AddAddress",), fast=True,
    ),
    "IPv6 address deleted": Drift(
        "IPv6 address", SBOX + "ip -6 addr flush dev eth1 scope global",
        addresses("eth1", SBOX), ("AddAddress", "AddRoute"), fast=True,
    ),
    "host bridge's IPv6 address deleted": Drift(
        "IPv6 address", "ip -6 addr flush dev docker_gwbridge scope global",
        addresses("docker_gwbridge"), ("AddAddress",),
    ),
}  # fmt: skip

ROUTES = {
    "default route deleted": Drift(
        "route", BOX + "ip route del default", BOX + "ip route show default", ("AddRoute",),
        fast=True,
    ),
    "default route altered": Drift(
        "route", BOX + "ip route replace default via 172.18.0.77 dev eth1 proto static",
        BOX + "ip route show default", ("AddRoute", "DelRoute"),
    ),
    "route added": Drift(
        "surplus route", BOX + "ip route add 10.98.0.0/16 dev eth0", BOX + "ip route",
        ("DelRoute",), fast=True,
    ),
    "IPv6 route deleted": Drift(
        "IPv6 route", SBOX + "ip -6 route del default", SBOX + "ip -6 route show default",
        ("AddRoute",),
    ),
    "route of the way back deleted": Drift(
        "table's route", TASK + "ip route flush table 16777218",
        TASK + "ip route show table all type unicast", ("AddRoute",), fast=True,
    ),
    "rule deleted": Drift(
        "rule", TASK + "ip rule del fwmark 0x1000002", TASK + "ip rule", ("AddRule",), fast=True,
    ),
    "IPv6 rule deleted": Drift(
        "IPv6 rule", TASK + "ip -6 rule del fwmark 0x1000002", TASK + "ip -6 rule", ("AddRule",),
    ),
    "rule added": Drift(
        "surplus rule", BOX + "ip rule add fwmark 0x77 lookup 77", BOX + "ip rule", ("DelRule",),
    ),
    "all rules flushed": Drift(
        "rule", TASK + "ip rule flush && ip netns exec %task% ip rule add lookup main pref 32766 &&"
        " ip netns exec %task% ip rule add lookup default pref 32767",
        TASK + "ip rule", ("AddRule",),
    ),
}  # fmt: skip

ENTRIES = {
    "neighbour deleted": Drift(
        "neighbour", OVERLAY + "ip neigh del %far% dev vxlan0",
        OVERLAY + "ip neigh", ("SetNeighbour",), fast=True,
    ),
    "neighbour altered": Drift(
        "neighbour",
        OVERLAY + "ip neigh replace %far% lladdr 02:00:00:00:00:97 dev vxlan0 nud permanent",
        OVERLAY + "ip neigh", ("SetNeighbour",),
    ),
    "neighbour no longer permanent": Drift(
        "neighbour", OVERLAY + "ip neigh replace %far% lladdr %mac% dev vxlan0 nud stale",
        OVERLAY + "ip neigh", ("SetNeighbour",),
    ),
    "neighbour added": Drift(
        "surplus neighbour",
        OVERLAY + "ip neigh add 10.50.0.250 lladdr 02:42:0a:32:00:fa dev vxlan0 nud permanent",
        OVERLAY + "ip neigh", ("DelNeighbour",),
    ),
    "IPv6 neighbour deleted": Drift(
        "IPv6 neighbour",
        INGRESS + "ip -6 neigh flush dev vxlan0 nud permanent",
        INGRESS + "ip -6 neigh", ("SetNeighbour",),
    ),
    "forwarding entry deleted": Drift(
        "forwarding entry", OVERLAY + "bridge fdb del %mac% dev vxlan0 dst %peer% self",
        OVERLAY + "bridge fdb show dev vxlan0 | grep dst", ("SetFdb",), fast=True,
    ),
    "forwarding entry altered": Drift(
        "forwarding entry",
        OVERLAY + "bridge fdb replace %mac% dev vxlan0 dst 192.168.90.99 self permanent",
        OVERLAY + "bridge fdb show dev vxlan0 | grep dst", ("SetFdb",), fast=True,
    ),
    "forwarding entry added": Drift(
        "surplus forwarding entry",
        OVERLAY + "bridge fdb add 02:00:00:00:00:96 dev vxlan0 dst 192.168.90.99 self permanent",
        OVERLAY + "bridge fdb show dev vxlan0 | grep dst", ("DelFdb",),
    ),
    "all entries flushed": Drift(
        "neighbour", OVERLAY + "ip neigh flush dev vxlan0 nud permanent",
        OVERLAY + "ip neigh", ("SetNeighbour",),
    ),
}  # fmt: skip

TABLES = {
    "host's rules flushed": Drift(
        "ruleset", "nft flush ruleset; nft add table inet guard", "nft -s list tables",
        ("ReplaceTable",), (r"^/nft table",), fast=True,
    ),
    "container's rules flushed": Drift(
        "ruleset", BOX + "sh -c 'nft flush ruleset; nft add table ip guard'",
        BOX + "nft -s list tables",
        ("ReplaceTable",), (r"/nft table",), fast=True,
    ),
    "ingress rules flushed": Drift(
        "ruleset", SBOX + "nft flush ruleset", SBOX + "nft -s list tables",
        ("ReplaceTable",), (r"ingress_sbox/nft table",),
    ),
    "table deleted": Drift(
        "table", "nft delete table ip skep", "nft -s list tables",
        ("ReplaceTable",), (r"^/nft table ip skep",), fast=True,
    ),
    "IPv6 table deleted": Drift(
        "IPv6 table", "nft delete table ip6 skep", "nft -s list tables",
        ("ReplaceTable",), (r"^/nft table ip6 skep",),
    ),
    "bridge's table deleted": Drift(
        "bridge's table", "nft delete table bridge skep", "nft -s list tables",
        ("ReplaceTable",), (r"^/nft table bridge skep",),
    ),
    "table emptied": Drift(
        "table", "nft flush table ip skep", rules(),
        ("ReplaceTable",), (r"^/nft table ip skep",),
    ),
    "chain emptied": Drift(
        "chain", "nft flush chain ip skep postrouting", rules(),
        ("ReplaceTable",), (r"^/nft table ip skep",), fast=True,
    ),
    "rule of a table deleted": Drift(
        "rule of a table",
        "nft delete rule ip skep input handle "
        "$(nft -a list chain ip skep input | grep -o 'handle [0-9]*$' | tail -n1 | cut -c8-)",
        rules(), ("ReplaceTable",), (r"^/nft table ip skep",), fast=True,
    ),
    "rule of a table added": Drift(
        "rule of a table", "nft add rule ip skep forward drop", rules(),
        ("ReplaceTable",), (r"^/nft table ip skep",),
    ),
    "element deleted": Drift(
        "element", "nft delete element ip skep vteps '{ %peer% }'", rules(),
        ("SetElements",), fast=True,
    ),
    "element added": Drift(
        "element", "nft add element ip skep vteps '{ 192.168.90.99 }'", rules(),
        ("SetElements",), fast=True,
    ),
    "published port taken away": Drift(
        "map's element", "nft flush map ip skep published", rules(), ("SetElements",), fast=True,
    ),
    "backends flushed": Drift(
        "map's element", BOX + "nft flush map ip skep backends", rules(where=BOX),
        ("SetElements",), fast=True,
    ),
    "set added": Drift(
        "surplus set", "nft add set ip skep odd '{ type ipv4_addr; }'", rules(),
        ("ReplaceTable",), (r"^/nft table ip skep",),
    ),
    "resolver's rules deleted": Drift(
        "resolver's rules", BOX + "nft flush chain ip skep output-nat", rules(where=BOX),
        ("ReplaceTable",), (r"/nft table ip skep",), fast=True,
    ),
    "surplus table of ours": Drift(
        "surplus table", "nft add table ip skep_old", "nft -s list tables", ("DelTable",),
    ),
}  # fmt: skip

SPACES = {
    "overlay's namespace deleted": Drift(
        "overlay namespace", "ip netns del %overlay%",
        "ls /run/netns; ip netns exec %overlay% ip neigh",
        ("AddNamespace", "AddLink", "AddAddress", "AddRoute", "SetSysctl", "SetLink lo",
         "SetNeighbour", "SetFdb", "ReplaceTable"),
        (r"/link", r"/(addr|route) .*(eth\d|br0|strange1)", "table ip guard"), fast=True,
    ),
    "ingress sandbox deleted": Drift(
        "ingress sandbox", "ip netns del ingress_sbox",
        "ls /run/netns; ip netns exec ingress_sbox nft -s list tables",
        ("AddNamespace", "AddLink", "AddAddress", "AddRoute", "SetSysctl", "SetLink lo",
         "ReplaceTable"),
        (r"ingress_sbox/", r"/link \d+: veth"), fast=True,
    ),
    "container's namespace unpinned": Drift(
        "container's namespace", "ip netns del %box%",
        "ls /run/netns; nsenter --net=/run/netns/%box% ip -o addr", ("AddNamespace",), fast=True,
    ),
    "container's namespace unmounted": Drift(
        "container's namespace", "umount /run/netns/%box%",
        "nsenter --net=/run/netns/%box% ip -o addr", ("AddNamespace",),
    ),
    "namespace left over": Drift(
        "surplus namespace",
        "ip netns add 1-leftover00 && ip -n 1-leftover00 link set lo group 23534",
        "ls /run/netns", ("DelNamespace",), swept=True,
    ),
}  # fmt: skip

SYSCTLS = {
    "forwarding of the host off": Drift(
        "sysctl", "sysctl -qw net.ipv4.ip_forward=0", "sysctl net.ipv4.ip_forward",
        ("SetSysctl",), fast=True,
    ),
    "forwarding of the ingress sandbox off": Drift(
        "sysctl", SBOX + "sysctl -qw net.ipv4.ip_forward=0", SBOX + "sysctl net.ipv4.ip_forward",
        ("SetSysctl",),
    ),
    "IPv6 forwarding off": Drift(
        "IPv6 sysctl", "sysctl -qw net.ipv6.conf.all.forwarding=0",
        "sysctl net.ipv6.conf.all.forwarding", ("SetSysctl",),
    ),
    "reverse path filter on": Drift(
        "sysctl", TASK + "sysctl -qw net.ipv4.conf.all.rp_filter=1",
        TASK + "sysctl net.ipv4.conf.all.rp_filter", ("SetSysctl",),
    ),
    "local routes off": Drift(
        "quiet sysctl", "sysctl -qw net.ipv4.conf.docker_gwbridge.route_localnet=0",
        "sysctl net.ipv4.conf.docker_gwbridge.route_localnet", ("SetSysctl",), swept=True,
    ),
}  # fmt: skip

DRIFTS = LINKS | ADDRESSES | ROUTES | ENTRIES | TABLES | SPACES | SYSCTLS
