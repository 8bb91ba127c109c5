"""A healthy way, told: each hop with the facts that a walk by hand would find."""

import pytest
from plan_scene import IDLE_VIP, WEB_VIP, vtep
from trace_scene import CLIENT, OVERLAY, Hosts, admin_table

from skep.model.errors import Invalid, Missing
from skep.model.inspection import RuleCount
from skep.model.netstate import HOST
from skep.model.nft import Foreign, Verdict
from skep.trace.report import OK
from skep.trace.survey import Survey
from skep.trace.trace import question, trace


@pytest.fixture(scope="module")
def hosts():
    return Hosts()


@pytest.fixture(scope="module")
def found(hosts):
    return hosts.trace("client", "web")


def hop(hops, kind, number=0):
    return [each for each in hops if each.kind == kind][number]


def test_a_healthy_way_has_no_trouble_and_shows_a_remote_backend(found):
    assert found.reached and found.trouble is None and not found.notes
    assert found.summary == "All 2 backends are reached."
    assert {each.state for each in (*found.there, *found.back)} == {OK}
    assert found.there[-1].host == "h2"
    assert found.back[-1].host == "h1"


def test_the_name_is_told_with_who_answered_it(found):
    first = found.there[0]
    assert (first.kind, first.says) == ("name", f"web is {WEB_VIP}")
    assert "skep-dns at 127.0.0.11" in first.details[0]
    assert f"{WEB_VIP}: the VIP of service web" in first.details


def test_mark_rule_and_handle(found):
    mark = hop(found.there, "mark")
    assert mark.facts["mark"] == 0x100
    assert "service web" in mark.says
    assert mark.facts["chain"] == "output-mark" and mark.facts["table"] == "ip skep"
    assert mark.facts["handle"] == 10 + mark.facts["rule"]


def test_the_backend_that_was_chosen_and_the_others(found):
    nat = hop(found.there, "nat")
    assert nat.facts["target"] == "10.0.1.12:80"
    assert nat.facts["backends"] == "10.0.1.11, 10.0.1.12"
    assert "backend 2 of 2, in turns: web2 on h2" in nat.details
    assert "others: 10.0.1.11 (web1 on h1)" in nat.details


def test_route_interface_index_peer_and_mtu(found, hosts):
    route = hop(found.there, "route")
    link = hosts.states["h1"][CLIENT].links["eth0"]
    assert route.says == "10.0.1.0/24 on eth0"
    assert route.facts["ifindex"] == link.index
    assert route.facts["peer_ifindex"] == link.peer_index
    assert route.facts["mtu"] == 1450
    port = hop(found.there, "link")
    assert port.namespace == OVERLAY
    assert port.facts["ifindex"] == link.peer_index


def test_neighbour_forwarding_entry_tunnel_and_vni(found):
    entry, tunnel = hop(found.there, "entry"), hop(found.there, "tunnel")
    assert entry.facts == {
        "neighbour": "10.0.1.12", "mac": "02:42:0a:00:01:0c", "vtep": vtep("h2"),
    }  # fmt: skip
    assert tunnel.facts["vni"] == 4097 and tunnel.facts["port"] == 4789
    assert "not encrypted" in tunnel.details[0]
    out = hop(found.there, "tunnel", 1)
    assert (out.host, out.facts["vni"], out.facts["bridge"]) == ("h2", 4097, "br0")


def test_the_underlay_with_what_the_mesh_says(found):
    under = hop(found.there, "underlay")
    assert under.link == "eth9"
    assert "mesh: delay 0.40 ms, loss 0% of 20" in under.details


def test_who_listens(found):
    assert "listening: 0.0.0.0:80" in found.there[-1].details
    assert not any("listening" in each for each in found.back[-1].details)


def test_a_published_port_shows_the_ingress_sandbox_and_the_return_mark(hosts):
    found = hosts.trace("outside:203.0.113.9", "h3:8080")
    owners = list(dict.fromkeys(each.owner for each in found.there))
    assert owners[:3] == ["host", "ingress_sbox", "network ingress"]
    assert owners[3] in ("web1", "web2")
    chains = [each.facts.get("chain") for each in found.there if each.kind == "nat"]
    assert chains[0] == "DOCKER-INGRESS"
    marks = [each.says for each in found.there if each.kind == "mark"]
    assert any("connection mark 0x1000004" in each for each in marks)
    back = [each.says for each in found.back if each.kind == "route"]
    assert back[0] == "default via 10.0.0.4 on eth0, table 16777220 (by mark 0x1000004)"
    assert found.back[-1].kind == "depart"


def test_counters_are_shown_where_rules_count(hosts, monkeypatch):
    counted = RuleCount(
        family="ip", table="skep", chain="output-mark", number=0, handle=7, packets=3, bytes=180
    )
    inspection = hosts.inspection

    def with_counter(host):
        seen = inspection(host)
        if host != "h1":
            return seen
        inside = seen.insides[CLIENT]
        rules = (counted, *(each for each in inside.rules if each.chain != "output-mark"))
        insides = {**seen.insides, CLIENT: type(inside)(rules=rules, listeners=inside.listeners)}
        fields = {name: getattr(seen, name) for name in seen.__struct_fields__}
        return type(seen)(**{**fields, "insides": insides})

    monkeypatch.setattr(hosts, "inspection", with_counter)
    mark = hop(hosts.trace("client", "web").there, "mark")
    assert "handle 7, counted 3 packets, 180 bytes" in mark.details[0]


def test_several_addresses_of_a_name_are_all_told(hosts):
    found = hosts.trace("client", "tasks.web/tcp:80")
    assert found.there[0].says == "tasks.web is 10.0.1.11, 10.0.1.12"
    assert found.trouble is None


@pytest.mark.parametrize(
    ("source", "host"),
    [("web1", "h1"), ("web2", "h2"), ("h3", "h3"), ("h1/web1", "h1"), ("cweb2", "h2"),
     ("web", "h1"), ("h3/ingress_sbox", "h3")],
)  # fmt: skip
def test_from_may_be_a_container_a_task_a_service_an_id_or_a_host(hosts, source, host):
    found = hosts.trace(source, f"{vtep('h2')}/icmp")
    assert found.there[0].host == host


def test_from_that_means_several_things_is_refused_with_what_to_say(hosts):
    with pytest.raises(Invalid, match="say h1/ingress_sbox, h2/ingress_sbox, h3/ingress_sbox"):
        hosts.trace("ingress_sbox", ":8080")


def test_what_there_is_not_is_said(hosts):
    with pytest.raises(Missing, match="no container, task, service or host nobody"):
        hosts.trace("nobody", "web")
    with pytest.raises(Missing, match="no service, container or host nobody"):
        hosts.trace("h1", "nobody")


def test_a_hosts_port_without_a_protocol_is_tcp_and_without_a_port_icmp(hosts):
    assert hosts.trace("h1", "h2:8080").protocol == "tcp"
    assert hosts.trace("h1", "h2").protocol == "icmp"


def test_a_host_reaches_a_service_by_its_published_port(hosts):
    found = hosts.trace("h3", "web")
    assert (found.protocol, found.port) == ("tcp", 8080)
    assert found.trouble is None


def test_a_service_that_publishes_nothing_is_out_of_a_hosts_reach(hosts):
    found = hosts.trace("h3", "idle")
    assert "idle publishes no port" in found.trouble.why


def test_a_port_must_be_said_if_nothing_tells_it(hosts):
    with pytest.raises(Invalid, match="say which port"):
        hosts.trace("client", "idle/tcp")


def test_only_names_that_a_sandbox_asks_are_asked(hosts):
    survey = hosts.survey()
    node, asked = question(survey, "client", "web/tcp:80")
    assert (node, asked.namespace, asked.names) == ("h1", CLIENT, ("web",))
    for source, target in (("client", IDLE_VIP), ("h1", "web"), ("client", ":80")):
        assert question(survey, source, target) is None


def test_without_any_host_there_is_nothing_to_trace():
    with pytest.raises(Missing):
        trace(Survey(by="h1", whole=True), "outside:203.0.113.9", ":80")


def test_a_foreign_rule_that_cannot_be_judged_is_said_and_not_guessed():
    fresh = Hosts()
    fresh.foreign["h2", HOST] = [admin_table(Foreign('{"limit": 1}'), Verdict("drop"))]
    found = fresh.trace("h1", "h2/icmp")
    unread = hop(found.there, "unread")
    assert "cannot judge" in unread.says
    assert "table inet guard (not Skep's)" in unread.details[0]
