"""Faults that `skep trace` names, by what the kernels contain alone."""

from fault import (
    DOUBTFUL,
    PORT,
    Fault,
    client,
    do,
    foreign_fault,
    host_space,
    ip,
    mac,
    on_port,
    overlay,
    text,
    vip,
    web,
    web_port,
)
from swarm_lab import until

TRACED = {
    "forwarding entry deleted": Fault(
        host="h1", damage=do("h1", "bridge", "bridge fdb del {mac} dev vxlan0 dst {peer} self"),
        where=overlay("h1"), why=lambda lab: f"forwarding entry {mac(lab)} on vxlan0 is missing",
        hop="h1",
    ),
    "forwarding entry to another host": Fault(
        host="h1",
        damage=do("h1", "bridge",
                  "bridge fdb replace {mac} dev vxlan0 dst 192.168.90.13 self permanent"),
        where=overlay("h1"), why=text("on vxlan0 leads to 192.168.90.13"), hop="h1",
    ),
    "forwarding entry to nobody": Fault(
        host="h1",
        damage=do("h1", "bridge",
                  "bridge fdb replace {mac} dev vxlan0 dst 192.168.90.99 self permanent"),
        where=overlay("h1"), why=text("on vxlan0 leads to 192.168.90.99"), hop="h1",
    ),
    "neighbour deleted": Fault(
        host="h1", damage=do("h1", "bridge", "ip neigh del {ip} dev vxlan0"),
        where=overlay("h1"), why=lambda lab: f"neighbour {ip(lab)} on vxlan0 is missing", hop="h1",
    ),
    "neighbour wrong": Fault(
        host="h1",
        damage=do("h1", "bridge",
                  "ip neigh replace {ip} lladdr 02:42:00:00:00:01 dev vxlan0 nud permanent"),
        where=overlay("h1"), why=text("on vxlan0 is 02:42:00:00:00:01"), hop="h1",
    ),
    "balancing flushed": Fault(
        host="h1", damage=do("h1", "client_box", "nft flush ruleset"),
        where=client, why=text("nft table ip skep is gone"), hop="h1",
    ),
    "wrong mark": Fault(
        host="h1",
        damage=do("h1", "client_box",
                  'nft "delete element ip skep vips {{ {vip} }}; '
                  'add element ip skep vips {{ {vip} : 0x999 }}"'),
        where=client, why=text("nft set vips of table ip skep"), hop="h1",
    ),
    "wrong backend": Fault(
        host="h1",
        damage=do("h1", "client_box",
                  'nft "delete element ip skep backends {{ {vip} . 0 }}; '
                  'add element ip skep backends {{ {vip} . 0 : 10.0.1.77 }}"'),
        where=client, why=text("nft set backends of table ip skep"), hop="h1",
    ),
    "client's link down": Fault(
        host="h1", damage=do("h1", "client_box", "ip link set eth0 down"),
        where=client, why=text("link eth0 is down"), hop="h1",
    ),
    "address deleted": Fault(
        host="h1", damage=do("h1", "client_box", "ip -4 addr flush dev eth0"),
        where=client, why=text("on eth0 is missing"), hop="h1",
    ),
    "tunnel down": Fault(
        host="h1", damage=do("h1", "bridge", "ip link set vxlan0 down"),
        where=overlay("h1"), why=text("link vxlan0 is down"), hop="h1",
    ),
    "bridge down": Fault(
        host="h1", damage=do("h1", "bridge", "ip link set br0 down"),
        where=overlay("h1"), why=text("link br0 is down"), hop="h1",
    ),
    "tunnel off its bridge": Fault(
        host="h1", damage=do("h1", "bridge", "ip link set vxlan0 nomaster"),
        where=overlay("h1"), why=text("link vxlan0 is on bridge none"), hop="h1",
    ),
    "wrong VNI": Fault(
        host="h1",
        damage=do("h1", "bridge",
                  "ip link del vxlan0; ip link add vxlan0 type vxlan id 999 dstport 4790 "
                  "local 192.168.90.11 nolearning proxy l2miss l3miss; "
                  "ip link set vxlan0 group 23534 master br0 mtu 1450 up"),
        where=overlay("h1"), why=text("link vxlan0 has VNI 999, port 4790"), hop="h1",
    ),
    "far tunnel down": Fault(
        host="h2", damage=do("h2", "bridge", "ip link set vxlan0 down"),
        where=overlay("h2"), why=text("link vxlan0 is down"), hop="h2",
    ),
    "far bridge's port down": Fault(
        host="h2", damage=on_port("ip link set {port} down"),
        where=overlay("h2"), why=lambda lab: f"link {web_port(lab)} is down", hop="h2",
    ),
    "far port off its bridge": Fault(
        host="h2", damage=on_port("ip link set {port} nomaster"),
        where=overlay("h2"), why=lambda lab: f"link {web_port(lab)} is on bridge none", hop="h2",
    ),
    "way back deleted": Fault(
        host="h2",
        damage=lambda lab: lab.inside_of(
            "h2", lab.bridge, f"ip neigh del {lab.ip('h1', 'client')} dev vxlan0"),
        where=overlay("h2"), why=lambda lab: f"neighbour {lab.ip('h1', 'client')} on vxlan0",
        hop="h2",
    ),
    "tunnel's MTU": Fault(
        host="h1", damage=do("h1", "bridge", "ip link set vxlan0 mtu 1300"),
        where=overlay("h1"), why=text("vxlan0 takes 1300 bytes, its sender may send 1450"),
        hop="h1", code=DOUBTFUL,
    ),
    "underlay's MTU": Fault(
        host="h2", damage=do("h2", "", "ip link set eth0 mtu 1400"),
        mend=do("h2", "", "ip link set eth0 mtu 1500"),
        where=host_space("h2"), why=text("eth0 takes 1400 bytes"), hop="h2", code=DOUBTFUL,
    ),
    "published ports flushed": Fault(
        host="h3", damage=do("h3", "", "nft delete table ip skep"), ask=PORT,
        where=host_space("h3"), why=text("nft table ip skep is gone"), hop="h3",
    ),
    "published port removed": Fault(
        host="h3", damage=do("h3", "", 'nft "delete element ip skep published {{ tcp . 8080 }}"'),
        ask=PORT, where=host_space("h3"), why=text("lacks tcp . 8080"), hop="h3",
    ),
    "mesh sandbox flushed": Fault(
        host="h3", damage=do("h3", "ingress_sbox", "nft flush ruleset"), ask=PORT,
        where=text("ingress_sbox on h3"), why=text("nft table ip skep is gone"), hop="h3",
    ),
    "forwarding off": Fault(
        host="h3", damage=do("h3", "ingress_sbox", "sysctl -qw net.ipv4.ip_forward=0"), ask=PORT,
        where=text("ingress_sbox on h3"), why=text("sysctl net.ipv4.ip_forward is 0"), hop="h3",
    ),
    "forwarding off on the host": Fault(
        host="h3", damage=do("h3", "", "sysctl -qw net.ipv4.ip_forward=0"), ask=PORT,
        where=host_space("h3"), why=text("sysctl net.ipv4.ip_forward is 0"), hop="h3",
    ),
    "strict reverse path filter": Fault(
        host="h2", damage=do("h2", "web_box", "sysctl -qw net.ipv4.conf.all.rp_filter=1"),
        ask=PORT, where=web, why=text("net.ipv4.conf.all.rp_filter is 1"), hop="h2",
    ),
    "return rule deleted": Fault(
        host="h2", damage=do("h2", "web_box",
                             "for p in 1 2 3; do ip rule del priority 1000; done"), ask=PORT,
        where=web, why=text("routing rule for mark 0x"), hop="h2",
    ),
    "return route deleted": Fault(
        host="h2",
        damage=do("h2", "web_box",
                  "for t in 2 3 4 5 6; do ip route flush table $((16777216 + t)); done; true"),
        ask=PORT, where=web, why=text("route to default in table 1677"), hop="h2",
    ),
    "default route deleted": Fault(
        host="h1", damage=do("h1", "client_box", "ip route del default"),
        ask=("client", "192.168.90.1/icmp"),
        where=client, why=text("route to default in table 254 is missing"), hop="h1",
    ),
    "tunnels cut by a firewall": foreign_fault(
        "h2", "input", "udp dport 4789 counter drop",
        where=host_space("h2"), why=text("nft table inet guard (not Skep's), chain c, rule 1"),
        hop="h2",
    ),
    "a foreign drop on the way through": foreign_fault(
        "h3", "forward", "oifname docker_gwbridge drop", ask=PORT,
        where=host_space("h3"), why=text("nft table inet guard (not Skep's)"), hop="h3",
    ),
    "nobody listens": Fault(
        host="h1", damage=lambda lab: None, ask=("client", "web/tcp:81"),
        where=web, why=text("nobody listens on tcp 81 in web.1; it listens on 80"), hop="h2",
    ),
    "dead name server": Fault(
        host="h1", damage=do("h1", "", "kill -STOP $(pgrep -f [s]kep.dns.server)"),
        mend=do("h1", "", "kill -CONT $(pgrep -f [s]kep.dns.server)"),
        where=text("skep-dns in sandbox"), why=text("web was not answered: no answer"), hop="h1",
    ),
}  # fmt: skip


def scaled(count):
    return lambda lab: lab.docker("h1", "service", "scale", "--detach", f"web={count}")


def back(lab):
    """A task of web again, which other faults need."""
    scaled(1)(lab)
    until(lambda: lab.running("web", 1), 60)


def ill(lab):
    """A service whose task is never ready, and of which h1 was told."""
    lab.service("ill", "--health-cmd", "false", "--health-interval", "1s",
                "--health-retries", "60", "busybox", "sleep", "86400")  # fmt: skip
    form = "{{(index .Endpoint.VirtualIPs 0).Addr}}"
    address = lab.docker("h1", "service", "inspect", "-f", form, "ill").partition("/")[0]
    no_backend(lab, address)
    until(lambda: lab.docker("h1", "service", "ps", "-q", "ill"), 60)


TRACED |= {
    "stopped task": Fault(
        host="h1", damage=lambda lab: (scaled(0)(lab), no_backend(lab, vip(lab))), mend=back,
        where=text("(client) on h1"), why=text("has no ready task: service web wants no tasks"),
        hop="h1",
    ),
    "unhealthy task": Fault(
        host="h1",
        damage=ill,
        mend=lambda lab: lab.docker("h1", "service", "rm", "ill"),
        ask=("client", "ill/tcp:80"), where=text(""), why=text("no ready task: ill.1 is"),
        hop="h1",
    ),
    "another network": Fault(
        host="h1",
        damage=lambda lab: lab.docker("h2", "run", "-d", "--name", "alone", "busybox",
                                      "sleep", "86400"),
        mend=lambda lab: lab.docker("h2", "rm", "-f", "alone"),
        ask=("client", "alone"), where=text("name alone"),
        why=text("alone (on h2) is on no swarm network, client on h1 is on app"), hop="h1",
    ),
}  # fmt: skip


def no_backend(lab, address):
    """Waits until h1 was told that no task behind a VIP is ready."""
    listed = "nft list set ip skep no_backend"
    until(lambda: address in lab.inside_of("h1", lab.client_box, listed), 60)
