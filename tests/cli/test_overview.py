"""The swarm on one screen, and networks as trees."""

from skep.cli.show.overview import Branch, Seen, aligned, drawn, sections, trees


def node(name, state="ready"):
    return {
        "ID": f"id-{name}", "Description": {"Hostname": name}, "Status": {"State": state},
        "Spec": {"Availability": "active", "Role": "worker"},
    }  # fmt: skip


def task(service, slot, host, state="running", address="10.0.1.5/24", desired="running"):
    return {
        "ServiceID": service, "Slot": slot, "NodeID": f"id-{host}", "DesiredState": desired,
        "Status": {"State": state},
        "NetworksAttachments": [{"Network": {"ID": "net1"}, "Addresses": [address]}],
    }  # fmt: skip


WEB = {
    "ID": "s1", "Spec": {"Name": "web", "Mode": {"Replicated": {"Replicas": 2}}},
    "Endpoint": {
        "Ports": [{"PublishedPort": 8080, "TargetPort": 80, "Protocol": "tcp"}],
        "VirtualIPs": [{"NetworkID": "net1", "Addr": "10.0.1.2/24"}],
    },
    "UpdateStatus": {"State": "updating"},
}  # fmt: skip
ALL = {"ID": "s2", "Spec": {"Name": "all", "Mode": {"Global": {}}}}
NET = {
    "Id": "net1", "Name": "net", "Driver": "overlay", "Scope": "swarm",
    "IPAM": {"Config": [{"Subnet": "10.0.1.0/24"}]},
    "Containers": {
        "c1": {"Name": "box", "IPv4Address": "10.0.1.9/24"},
        "c2": {"Name": "web.1.xyz", "IPv4Address": "10.0.1.5/24"},
    },
}  # fmt: skip
READINGS = {
    "host": {"peers": {"h2": {"rtt": 0.0021, "loss": 0.5, "probes": 20}}},
    "cluster": {
        "behind": {"h1": 0, "h2": 3},
        "pools": [{"network": "net", "used": 250, "size": 253},
                  {"network": "wide", "used": 1, "size": 253}],
    },
}  # fmt: skip
SEEN = Seen(
    nodes=[node("h10", "down"), node("h2"), node("h1")],
    services=[WEB, ALL],
    tasks=[
        task("s1", 1, "h1"),
        task("s1", 2, "h2", state="starting", address="10.0.1.6/24"),
        task("s1", 2, "h2", state="failed", desired="shutdown"),
        task("s2", 0, "h1", address="10.0.1.7/24"),
    ],
    networks=[NET],
    readings=READINGS,
)


def test_hosts():
    hosts, _, _ = sections(SEEN)
    assert [row[0] for row in hosts.rows] == ["h1", "h2", "h10"]
    assert hosts.rows[0] == ("h1", "ready", "active", "worker", "2", "0", "-", "-")
    assert hosts.rows[1] == ("h2", "ready", "active", "worker", "0", "3", "2.10 ms", "50%")
    assert hosts.alarming == {1, 2}


def test_services():
    _, services, _ = sections(SEEN)
    assert services.rows == [
        ("all", "global", "1/1", "", ""),
        ("web", "replicated", "1/2", "8080->80/tcp", "updating"),
    ]
    assert services.alarming == {1}


def test_networks():
    _, _, networks = sections(SEEN)
    assert networks.rows == [("net", "250 of 253", "99%"), ("wide", "1 of 253", "0%")]
    assert networks.alarming == {0}


def test_columns_are_aligned_and_alarms_marked():
    lines = list(aligned(sections(SEEN)[2]))
    assert lines == [
        ("Networks (2)", False),
        ("  NETWORK  ADDRESSES   USED", False),
        ("  net      250 of 253  99%", True),
        ("  wide     1 of 253    0%", False),
    ]


def test_a_network_with_all_that_is_on_it():
    assert list(drawn(trees(SEEN))) == [
        "└─ net  overlay  swarm  10.0.1.0/24",
        "   ├─ all  no VIP",
        "   │  └─ all.id-h1  10.0.1.7/24  h1  running",
        "   ├─ web  10.0.1.2/24",
        "   │  ├─ web.1  10.0.1.5/24  h1  running",
        "   │  └─ web.2  10.0.1.6/24  h2  starting",
        "   └─ box  10.0.1.9/24",
    ]


def test_several_trees():
    found = list(drawn([Branch("a", (Branch("b"), Branch("c"))), Branch("d")]))
    assert found == ["├─ a", "│  ├─ b", "│  └─ c", "└─ d"]
