"""Break one thing, examine: that thing is found, with what to do; a healthy cluster has nothing."""

import msgspec
import pytest
from plan_scene import MONGO, WEB_VIP, vtep
from trace_scene import CLIENT, NOW, OVERLAY, Hosts, admin_table, service

from skep.model.inspection import (
    Certificate,
    Disk,
    HostRoute,
    ManagerCheck,
    NameAnswer,
    PeerSight,
    RefusedOp,
    StoreCheck,
    TunnelCheck,
)
from skep.model.netstate import HOST, Link
from skep.model.nft import Match, Payload, Verdict
from skep.trace.doctor import CHECKS, examine
from skep.trace.finding import ERROR, WARNING
from skep.trace.survey import Fill, TaskFact

DAY = 86400.0


class Patient:
    """A cluster that tests make ill."""

    def __init__(self):
        self.hosts = Hosts()
        self.fields = {}
        self.survey_fields = {"services": (service("web", "RUNNING", ("web1", "h1")),)}

    def deep(self, host, **fields):
        """What a deep inspection of a host tells."""
        self.fields.setdefault(host, {}).update(fields)

    def whole(self, **fields):
        self.survey_fields.update(fields)

    def examine(self, only=()):
        survey = self.hosts.survey()
        reports = tuple(
            each if each.inspection is None else msgspec.structs.replace(
                each,
                inspection=msgspec.structs.replace(
                    each.inspection, **self.fields.get(each.node_id, {})
                ),
            )
            for each in survey.reports
        )  # fmt: skip
        changed = msgspec.structs.replace(survey, reports=reports, **self.survey_fields)
        return examine(changed, only)


@pytest.fixture
def patient():
    return Patient()


def test_a_healthy_cluster_has_no_finding(patient):
    found = patient.examine()
    assert found.findings == ()
    assert found.code == 0
    assert found.hosts == ("h1", "h2", "h3")
    assert found.checks == len(CHECKS)


def seen(**more):
    return {("h1", "h2"): PeerSight(address=vtep("h2"), seen_at=NOW, probes=20, **more)}


def drops(number, hook="input"):
    return [admin_table(Match((Payload("udp", "dport"),), number), Verdict("drop"), hook=hook)]


def answer(**more):
    return NameAnswer(namespace=CLIENT, name="web", expected=(WEB_VIP,), **more)


CASES = {
    "host silent": (
        lambda p: p.hosts.silent.update(h2="it has no session with this manager"),
        ERROR, "hosts", "h2", "h2 did not answer: it has no session", "skepd",
    ),
    "feature missing": (
        lambda p: p.deep("h2", features={"tunnels (vxlan)": "operation not supported"}),
        ERROR, "kernel", "h2", "tunnels (vxlan) does not work", "modprobe -a vxlan",
    ),
    "strict reverse path": (
        lambda p: (
            p.deep("h1", sysctls={"net.ipv4.conf.all.rp_filter": "1"}),
            p.hosts.routes["h1"].append(
                HostRoute(destination="10.9.0.0/16", link="eth8", via="192.168.1.1")
            ),
        ),
        WARNING, "sysctls", "h1", "strict reverse path filtering", "sysctl -w",
    ),
    "bridged frames meet a firewall": (
        lambda p: (
            p.deep("h1", sysctls={"net.bridge.bridge-nf-call-iptables": "1"}),
            p.hosts.foreign.update(
                {("h1", HOST): [admin_table(Match((Payload("ip", "daddr"),), "0.0.0.0/0"),
                                            Verdict("accept"), hook="forward", policy="drop")]}
            ),
        ),
        WARNING, "sysctls", "h1", "frames within bridges", "bridge-nf-call-iptables=0",
    ),
    "connection table full": (
        lambda p: p.deep("h1", sysctls={"net.netfilter.nf_conntrack_count": "95",
                                        "net.netfilter.nf_conntrack_max": "100"}),
        WARNING, "sysctls", "h1", "95% full", "nf_conntrack_max=200",
    ),
    "clock behind": (
        lambda p: p.deep("h2", begun_at=NOW - 30),
        WARNING, "clocks", "h2", "30.0 s behind", "chrony",
    ),
    "clock far ahead": (
        lambda p: p.deep("h2", begun_at=NOW + 3600, done_at=NOW + 3600),
        ERROR, "clocks", "h2", "3600.0 s ahead", "chrony",
    ),
    "certificate near its end": (
        lambda p: p.deep("h3", certificates=(
            Certificate(subject="this host", begins_at=NOW - 89 * DAY, ends_at=NOW + DAY),)),
        WARNING, "certificates", "h3", "ends in 1.0 days", "skepd renews it",
    ),
    "certificate expired": (
        lambda p: p.deep("h3", certificates=(
            Certificate(subject="this host", begins_at=NOW - 90 * DAY, ends_at=NOW - 2 * DAY),)),
        ERROR, "certificates", "h3", "ended 2.0 days ago", "join again",
    ),
    "credentials damaged": (
        lambda p: p.deep("h3", identity_error="this host's swarm identity is damaged"),
        ERROR, "certificates", "h3", "is damaged", "join again",
    ),
    "CA near its end": (
        lambda p: p.deep("h3", certificates=(
            Certificate(subject="the cluster's CA", begins_at=0.0, ends_at=NOW + 90 * DAY),)),
        WARNING, "certificates", "h3", "ends in 90.0 days", "docker swarm ca --rotate",
    ),
    "disk full": (
        lambda p: p.deep("h2", disks=(Disk(path="/var/lib/skep", total=1000, free=20),)),
        ERROR, "disks", "h2", "2.0% of the disk under /var/lib/skep", "docker system prune",
    ),
    "inodes gone": (
        lambda p: p.deep("h2", disks=(
            Disk(path="/run", total=1000, free=900, inodes=100, inodes_free=5),)),
        WARNING, "disks", "h2", "5.0% of the disk under /run", "du -xh",
    ),
    "kernel refuses a repair": (
        lambda p: p.hosts.failures.update(
            h1=[RefusedOp(namespace=OVERLAY, what="AddLink vxlan0", why="file exists")]),
        ERROR, "repairs", "h1", "the kernel refused AddLink vxlan0: file exists", "--fix",
    ),
    "hosts cut off": (
        lambda p: p.hosts.mesh.update(seen(loss=1.0)),
        ERROR, "underlay", "", "nothing gets through between h1 and h2", "ping 192.168.50.2",
    ),
    "just cut off": (
        lambda p: p.hosts.mesh.update({("h1", "h2"): PeerSight(
            address=vtep("h2"), seen_at=NOW - 9, loss=0.4, probes=20)}),
        ERROR, "underlay", "", "8 of the last 20 probes", "ping",
    ),
    "loss": (
        lambda p: p.hosts.mesh.update(seen(loss=0.3)),
        WARNING, "underlay", "", "30% of the last 20 probes", "ping -f",
    ),
    "delay": (
        lambda p: p.hosts.mesh.update(
            {pair: PeerSight(address=vtep(pair[1]), seen_at=NOW, rtt=0.2, probes=20)
             for pair in (("h1", "h2"), ("h2", "h1"))}),
        WARNING, "underlay", "", "200 ms between h1 and h2", "traceroute",
    ),
    "path MTU": (
        lambda p: p.hosts.mesh.update(seen(large_loss=1.0, large_probes=5, large_size=1500)),
        ERROR, "underlay", "", "packets of 1500 bytes do not get from h1 to h2", "ping -M do",
    ),
    "path MTU that is known": (
        lambda p: (
            p.hosts.mesh.update(
                seen(large_loss=1.0, large_probes=5, large_size=1500, path_mtu=1400)),
            # Of which the tunnels' own check tells nothing more.
            p.deep("h1", tunnels=(TunnelCheck(node_id="h2", small=0.001, large_size=1450),)),
        ),
        WARNING, "underlay", "",
        "packets of 1500 bytes do not get from h1 to h2, those of up to 1400 do", "ping -M do",
    ),
    "tunnel blocked": (
        lambda p: p.deep("h1", tunnels=(TunnelCheck(node_id="h2"),)),
        ERROR, "tunnels", "h1", "nothing comes back through the tunnel", "let UDP 4789 through",
    ),
    "tunnel for small packets": (
        lambda p: p.deep("h1", tunnels=(TunnelCheck(node_id="h2", small=0.001, large_size=1450),)),
        ERROR, "tunnels", "h1", "small packets, not such of 1450 bytes", "ping -M do",
    ),
    "tunnel for ICMP only": (
        lambda p: p.deep("h1", tunnels=(
            TunnelCheck(node_id="h2", small=0.001, large=0.001, tcp="no answer"),)),
        ERROR, "tunnels", "h1", "carries ICMP, not TCP", "ethtool -K",
    ),
    "manager out of reach": (
        lambda p: p.deep("h3", managers=(
            ManagerCheck(node_id="h1", address="192.168.50.1:2377", why="no answer"),)),
        ERROR, "managers", "h3", "h3 cannot connect to manager h1", "TCP 2377",
    ),
    "underlay link down": (
        lambda p: p.hosts.devices["h2"].update(up=False),
        ERROR, "underlay", "h2", "eth9 is down", "ip link set eth9 up",
    ),
    "underlay MTU": (
        lambda p: p.hosts.devices["h2"].update(mtu=1400),
        ERROR, "mtu", "h2", "eth9 takes 1400 bytes", "ip link set eth9 mtu 1500",
    ),
    "tunnels filtered": (
        lambda p: p.hosts.foreign.update({("h2", HOST): drops(4789)}),
        ERROR, "firewalls", "h2", "UDP 4789 (tunnels) is dropped by nft table inet guard",
        "nft insert rule inet guard in udp dport 4789 accept",
    ),
    "mesh filtered": (
        lambda p: p.hosts.foreign.update({("h2", HOST): drops(7946)}),
        ERROR, "firewalls", "h2", "UDP 7946 (mesh)", "udp dport 7946 accept",
    ),
    "nothing is forwarded": (
        lambda p: p.hosts.foreign.update({("h1", HOST): [
            admin_table(Match((Payload("ip", "saddr"),), "1.2.3.4"), hook="forward",
                        policy="drop")]}),
        ERROR, "firewalls", "h1", "published port", "nft insert rule inet guard in",
    ),
    "entry missing": (
        lambda p: p.hosts.drop("h1", OVERLAY, "fdb", lambda e: e.mac == "02:42:0a:00:01:0c"),
        ERROR, "objects", "h1", "forwarding entry 02:42:0a:00:01:0c on vxlan0 is missing", "--fix",
    ),
    "stranger's table": (
        lambda p: p.hosts.foreign.update({("h1", OVERLAY): [admin_table()]}),
        WARNING, "objects", "h1", "nft table inet guard is not Skep's", "nft delete table",
    ),
    "stranger's link": (
        lambda p: p.hosts.change("h1", OVERLAY, links={
            **p.hosts.states["h1"][OVERLAY].links,
            "tap0": Link(name="tap0", group=0)}),
        WARNING, "objects", "h1", "link tap0 is not Skep's", "ip link del tap0",
    ),
    "name server dead": (
        lambda p: p.deep("h1", dns_error="skep-dns does not answer"),
        ERROR, "names", "h1", "skep-dns cannot be reached", "starts a new one",
    ),
    "name unanswered": (
        lambda p: p.deep("h1", names=(answer(error="no answer within 2 s"),)),
        ERROR, "names", "h1", "web was not answered", "--fix",
    ),
    "name wrong": (
        lambda p: p.deep("h1", names=(answer(answered=("10.0.1.77",), code="NOERROR"),)),
        ERROR, "names", "h1", "web was answered 10.0.1.77; it should be 10.0.1.2", "--fix",
    ),
    "pool overlaps a route": (
        lambda p: p.hosts.routes["h2"].append(HostRoute(destination="10.0.1.128/25", link="eth8")),
        ERROR, "addresses", "h2", "10.0.1.0/24 overlaps the host's route to 10.0.1.128/25",
        "--subnet",
    ),
    "pool overlaps a resolver": (
        lambda p: p.deep("h2", resolvers=("10.0.1.53", "::1")),
        ERROR, "addresses", "h2", "overlaps the name server 10.0.1.53", "--subnet",
    ),
    "network full": (
        lambda p: p.whole(fills=(
            Fill(network="mongo", subnet="10.0.1.0/24", used=253, size=253),)),
        ERROR, "addresses", "", "253 of 253 addresses", "--subnet",
    ),
    "network nearly full": (
        lambda p: p.whole(fills=(
            Fill(network="mongo", subnet="10.0.1.0/24", used=240, size=253),)),
        WARNING, "addresses", "", "240 of 253 addresses", "--subnet",
    ),
    "task rejected": (
        lambda p: p.whole(services=(service_of(("running", "rejected", "no such image")),)),
        ERROR, "tasks", "", "db.1 is rejected (no such image)", "docker service ps",
    ),
    "one task of two failed": (
        lambda p: p.whole(services=(
            service_of(("running", "running", ""), ("running", "failed", "exit 1")),)),
        WARNING, "tasks", "", "db.1 is failed (exit 1)", "docker service logs db",
    ),
    "tasks that fail again and again": (
        lambda p: p.whole(services=(
            service_of(("shutdown", "failed", "exit 3"), ("running", "starting", "")),)),
        ERROR, "tasks", "", "db.1 is failed (exit 3)", "docker service logs db",
    ),
    "address gone": (
        lambda p: p.hosts.devices["h2"].update(addresses=("10.1.1.1/24",)),
        ERROR, "underlay", "h2", f"{vtep('h2')} is on no link of h2", "ip address add",
    ),
    "store unreadable": (
        lambda p: p.whole(store=StoreCheck(path="/s/cluster.db", error="disk I/O error")),
        ERROR, "store", "", "the store cannot be read: disk I/O error", "disk",
    ),
    "store slow": (
        lambda p: p.whole(store=StoreCheck(path="/s/cluster.db", seconds=2.0)),
        WARNING, "store", "", "takes 2.0 s", "disk",
    ),
}  # fmt: skip


def service_of(*tasks):
    facts = tuple(
        TaskFact(id=str(n), name="db.1", node_id="h1", desired=desired, state=state, error=error)
        for n, (desired, state, error) in enumerate(tasks)
    )
    return msgspec.structs.replace(service("idle", "RUNNING"), id="db", name="db", tasks=facts)


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_found(patient, name):
    damage, severity, check, host, what, fix = CASES[name]
    damage(patient)
    found = patient.examine().findings
    fitting = [each for each in found if each.check == check and what in each.what]
    assert fitting, [each.what for each in found]
    first = fitting[0]
    assert (first.severity, first.host) == (severity, host)
    assert fix in first.fix
    assert first.why and first.where
    assert all(each in fitting or each.check == "firewalls" for each in found)


def test_the_exit_code_tells_errors_from_warnings(patient):
    patient.hosts.mesh.update(seen(loss=0.3))
    assert patient.examine().code == 1
    patient.deep("h1", dns_error="gone")
    assert patient.examine().code == 2


def test_errors_come_first(patient):
    patient.hosts.mesh.update(seen(loss=0.3))
    patient.deep("h1", dns_error="gone")
    assert [each.severity for each in patient.examine().findings] == [ERROR, WARNING]


def test_one_host_has_its_own_findings_and_those_between_it_and_others(patient):
    patient.hosts.mesh.update(seen(loss=1.0))
    patient.deep("h3", dns_error="gone")
    assert [each.check for each in patient.examine({"h3"}).findings] == ["names"]
    assert [each.check for each in patient.examine({"h2"}).findings] == ["underlay"]


def test_what_is_cut_off_both_ways_is_said_once(patient):
    for pair in (("h1", "h2"), ("h2", "h1")):
        patient.hosts.mesh[pair] = PeerSight(address=vtep(pair[1]), loss=1.0, probes=20)
    patient.deep("h1", tunnels=(TunnelCheck(node_id="h2"),))
    patient.deep("h2", tunnels=(TunnelCheck(node_id="h1"),))
    assert [each.check for each in patient.examine().findings] == ["underlay"]


def test_a_silent_host_is_no_fault_of_a_host_that_sees_itself_alone(patient):
    patient.hosts.silent.update(h2="alone", h3="alone")
    patient.whole(whole=False)
    assert patient.examine().findings == ()


def test_many_differences_of_a_namespace_are_one_finding(patient):
    patient.hosts.change("h1", OVERLAY, fdb=frozenset(), neighbours=frozenset())
    (found,) = patient.examine().findings
    assert "more" in found.what and found.fixable


def test_the_networks_own_bridge_routes_are_no_overlap(patient):
    patient.hosts.routes["h1"].append(
        HostRoute(destination="172.18.0.0/16", link="docker_gwbridge")
    )
    assert patient.examine().findings == ()
    assert MONGO in patient.hosts.views["h1"].networks
