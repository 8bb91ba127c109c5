"""What a real probe proves, beside a walk."""

import msgspec
import pytest
from plan_scene import vtep
from trace_scene import CLIENT, OVERLAY, Hosts, admin_table

from skep.model.inspection import Echo, LinkCount, RuleHit, Sighting, Sightings, Tap
from skep.model.nft import Foreign, Verdict
from skep.trace import live
from skep.trace.report import BROKEN, DOUBTFUL, UNKNOWN
from skep.trace.survey import Evidence
from skep.trace.trace import Case

TOKEN = 21000


@pytest.fixture
def hosts():
    return Hosts()


@pytest.fixture
def case(hosts):
    return Case(hosts.survey(), "client", "web")


def seen(namespace, link, *, backend="10.0.1.12", back=False, **more):
    ends = ("10.0.1.20", backend) if not back else (backend, "10.0.1.20")
    ports = (TOKEN, 80) if not back else (80, TOKEN)
    return Sighting(
        tap=Tap(namespace=namespace, link=link), at=0.0, protocol="tcp", source=ends[0],
        target=ends[1], source_port=ports[0], target_port=ports[1], note="SYN", **more,
    )  # fmt: skip


def everywhere(case, backend):
    """Sightings at each hop of the way by one backend, there and back."""
    turn = next(each for each in case.turns() if each.there.end.flow.target == backend)
    found = {}
    for hops, back in ((case.there(turn), False), (case.back(turn), True)):
        for hop in hops:
            if hop.link:
                vni = 4097 if hop.kind == "underlay" else 0
                each = seen(hop.namespace, hop.link, backend=backend, back=back, vni=vni)
                found.setdefault(hop.node, []).append(each)
    return found


def evidence(found, answered=True, words="connected"):
    sightings = {node: Sightings(seen=tuple(each)) for node, each in found.items()}
    return Evidence(echo=Echo(answered=answered, seconds=0.002, words=words), sightings=sightings)


def test_taps_are_all_links_of_all_ways_there_and_back(case):
    plan = live.plan(case, TOKEN)
    assert plan.node == "h1"
    assert (plan.probe.namespace, plan.probe.token) == (CLIENT, TOKEN)
    assert set(plan.listening) == {"h1", "h2"}
    far = {(tap.namespace, tap.link) for tap in plan.listening["h2"].taps}
    assert {(OVERLAY, "vxlan0"), (OVERLAY, "veth1"), ("web200000000", "eth1"), ("", "eth9")} <= far


def test_from_outside_nobody_can_send(hosts):
    case = Case(hosts.survey(), "outside:203.0.113.9", "h3:8080")
    assert live.plan(case, TOKEN) is None
    assert "cannot be sent from outside" in live.unsent(case.trace(), live.CANNOT_SEND).live.words


@pytest.mark.parametrize("backend", ["10.0.1.11", "10.0.1.12"])
def test_the_way_that_the_probe_took_is_shown(case, backend):
    found = live.prove(case, TOKEN, evidence(everywhere(case, backend)))
    assert found.trouble is None and found.reached
    assert found.live.answered and found.live.milliseconds == 2.0
    nat = next(hop for hop in found.there if hop.kind == "nat")
    assert nat.facts["target"] == f"{backend}:80"
    taps = [hop for hop in (*found.there, *found.back) if hop.link]
    assert taps and all(hop.seen.packets == 1 for hop in taps)
    assert taps[0].seen.words.startswith("10.0.1.20:21000 -> ")


def test_a_probe_that_vanishes_names_the_first_hop_that_it_did_not_come_to(case):
    seen_until = everywhere(case, "10.0.1.12")
    seen_until["h2"] = []
    found = live.prove(case, TOKEN, evidence(seen_until, answered=False, words="no answer"))
    assert found.trouble.state == BROKEN
    assert "not seen at eth9, though it was at eth9 on h1 before" in found.trouble.why
    assert found.trouble.where == "between h1 and h2"
    assert not found.reached
    assert found.summary == "The probe was lost on the way."


def test_a_probe_that_comes_to_its_end_and_is_refused_says_so(case):
    words = "refused: the address answers, nobody listens on the port"
    found = live.prove(case, TOKEN, evidence(everywhere(case, "10.0.1.12"), False, words))
    assert found.trouble.why == words


def test_a_datagram_that_nobody_must_answer_is_no_fault(hosts):
    case = Case(hosts.survey(), "client", "web/udp:53")
    found = live.prove(
        case, TOKEN, evidence({}, False, "no datagram came back (servers need not answer)")
    )
    assert found.trouble.state == UNKNOWN


def test_where_nobody_could_listen_nothing_is_concluded(case):
    heard = everywhere(case, "10.0.1.12")
    del heard["h2"]
    found = live.prove(case, TOKEN, evidence(heard))
    assert all(hop.seen is None for hop in found.there if hop.node == "h2")
    assert found.trouble is None


def test_a_deaf_tap_is_not_a_lost_packet(case):
    heard = everywhere(case, "10.0.1.12")
    tap = Tap(namespace=OVERLAY, link="vxlan0")
    kept = [each for each in heard["h2"] if each.tap != tap]
    told = evidence(heard)
    sightings = {**told.sightings, "h2": Sightings(seen=tuple(kept), deaf=((tap, "no device"),))}
    found = live.prove(case, TOKEN, Evidence(echo=told.echo, sightings=sightings))
    assert all(hop.seen is None or hop.seen.packets for hop in (*found.there, *found.back))


def test_an_answer_outweighs_a_host_that_says_nothing(hosts):
    hosts.silent["h2"] = "no session"
    case = Case(hosts.survey(), "client", "10.0.1.12/tcp:80")
    found = live.prove(case, TOKEN, evidence({}))
    assert found.trouble is None and found.reached
    assert "h2 cannot be looked into" in found.live.notes[0]


def test_an_answer_beside_a_broken_walk_is_noted(hosts):
    hosts.drop("h1", OVERLAY, "fdb", lambda e: e.vtep == vtep("h2"))
    case = Case(hosts.survey(), "client", "10.0.1.12/tcp:80")
    found = live.prove(case, TOKEN, evidence({}))
    assert found.trouble.state == BROKEN
    assert "may have been repaired" in found.live.notes[0]


def hit(rule_of, *, verdict="continue", **fields):
    """The kernel's word that a packet was judged by a hop's rule."""
    family, _, table = str(rule_of.facts["table"]).partition(" ")
    known = {
        "family": family, "table": table, "chain": rule_of.facts["chain"],
        "handle": rule_of.facts["handle"], "verdict": verdict, "asked": True,
        "namespace": rule_of.namespace,
    }  # fmt: skip
    return RuleHit(**{**known, **fields})


def with_rules(told, node, *hits, **more):
    """The evidence with what a host's kernel told of its rules."""
    heard = told.sightings.get(node, Sightings())
    spaces = tuple({each.namespace for each in hits})
    changed = msgspec.structs.replace(heard, rules=hits, watched=spaces, **more)
    return msgspec.structs.replace(told, sightings={**told.sightings, node: changed})


def test_a_rule_that_judged_the_probe_is_proven_and_one_that_did_not_is_told(case):
    turn = next(t for t in case.turns() if t.there.end.flow.target == "10.0.1.12")
    mark, nat = (hop for hop in case.there(turn) if hop.kind in ("mark", "nat"))
    told = with_rules(evidence(everywhere(case, "10.0.1.12")), "h1", hit(mark))
    found = live.prove(case, TOKEN, told)
    seen_mark, seen_nat = (hop.seen for hop in found.there if hop.kind in ("mark", "nat"))
    assert (seen_mark.packets, seen_mark.by) == (1, "nft trace")
    assert f"judged by rule handle {mark.facts['handle']}: continue" in seen_mark.words
    assert seen_nat.packets == 0 and nat.facts["chain"] != mark.facts["chain"]


def test_the_rule_that_dropped_the_probe_is_named_though_the_walk_cannot_read_it(hosts):
    hosts.foreign["h2", ""] = [admin_table(Foreign('{"limit": 1}'), Verdict("drop"))]
    case = Case(hosts.survey(), "client", "web")
    seen_until = everywhere(case, "10.0.1.12")
    seen_until["h2"] = [each for each in seen_until["h2"] if each.tap.namespace == ""]
    dropped = RuleHit(
        family="inet", table="guard", chain="in", handle=7, verdict="drop", asked=True, namespace=""
    )
    told = with_rules(evidence(seen_until, False, "no answer"), "h2", dropped)
    trouble = live.prove(case, TOKEN, told).trouble
    assert trouble.where == "the host's namespace on h2"
    assert "dropped by nft table inet guard, chain in, handle 7" in trouble.why
    assert "nft delete rule inet guard in handle 7" in trouble.todo


def test_a_link_that_threw_packets_away_next_to_the_loss_is_named(case):
    seen_until = everywhere(case, "10.0.1.12")
    seen_until["h2"] = [each for each in seen_until["h2"] if each.tap.link == "eth9"]
    told = evidence(seen_until, False, "no answer")
    count = LinkCount(namespace=OVERLAY, link="vxlan0", received=1, dropped=3)
    told = with_rules(told, "h2", counts=(count,))
    trouble = live.prove(case, TOKEN, told).trouble
    assert f"vxlan0 in {OVERLAY} (network mongo) on h2 dropped 3 packets" in trouble.why


def test_a_probe_that_left_towards_a_silent_host_is_lost_between_the_two(hosts):
    healthy = Case(hosts.survey(), "client", "10.0.1.12/tcp:80")
    seen_until = {"h1": everywhere(healthy, "10.0.1.12")["h1"]}
    hosts.silent["h2"] = "no session"
    case = Case(hosts.survey(), "client", "10.0.1.12/tcp:80")
    found = live.prove(case, TOKEN, evidence(seen_until, False, "no answer within 2 s"))
    assert found.trouble.where == "between h1 and h2"
    assert "left h1 by eth9, and nothing came back" in found.trouble.why
    assert "ping 192.168.50.2" in found.trouble.todo


def test_rules_are_watched_wherever_the_probe_passes(case):
    plan = live.plan(case, TOKEN)
    assert {CLIENT, OVERLAY, ""} <= set(plan.listening["h1"].traced)
    assert {OVERLAY, "web200000000"} <= set(plan.listening["h2"].traced)


def test_a_lost_probe_outweighs_what_only_makes_one_doubt(hosts):
    hosts.change_link("h1", OVERLAY, "vxlan0", mtu=1300)
    case = Case(hosts.survey(), "client", "10.0.1.12/tcp:80")
    assert case.trace().trouble.state == DOUBTFUL
    seen_until = everywhere(case, "10.0.1.12")
    seen_until["h2"] = []
    found = live.prove(case, TOKEN, evidence(seen_until, False, "no answer"))
    assert found.trouble.where == "between h1 and h2" and not found.reached
    assert "vxlan0 takes 1300 bytes" in found.warnings[0].why
