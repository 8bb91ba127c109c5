"""Real traffic, laid over the ways of a walk."""

import pytest
from trace_scene import CLIENT, OVERLAY, Hosts

from skep.model.inspection import End, Sighting, Sightings, Tap
from skep.trace.follow import FORGOTTEN_AFTER, Follower
from skep.trace.trace import Case

PORT = 51000
NOW = 1000.0


@pytest.fixture
def case():
    return Case(Hosts().survey(), "client", "web")


@pytest.fixture
def follower(case):
    return Follower(case)


def passed(case, backend="10.0.1.12", packets=3, until=None, port=PORT):
    """What hosts see of a conversation with one backend: at each hop, up to ``until`` hops."""
    turn = next(each for each in case.turns() if each.there.end.flow.target == backend)
    hops = [(hop, True) for hop in case.there(turn)] + [(hop, False) for hop in case.back(turn)]
    seen = {}
    for hop, asked in [each for each in hops if each[0].link][:until]:
        ends = ("10.0.1.20", backend) if asked else (backend, "10.0.1.20")
        ports = (port, 80) if asked else (80, port)
        sighting = Sighting(
            tap=Tap(namespace=hop.namespace, link=hop.link), at=NOW, protocol="tcp",
            source=ends[0], target=ends[1], source_port=ports[0], target_port=ports[1],
            packets=packets,
        )  # fmt: skip
        seen.setdefault(hop.node, []).append(sighting)
    return {node: [Sightings(seen=tuple(each))] for node, each in seen.items()}


def test_all_links_of_all_ways_are_watched_for_all_forms_of_the_pair(follower):
    assert Tap(namespace=CLIENT, link="eth0") in follower.taps["h1"]
    assert Tap(namespace=OVERLAY, link="vxlan0") in follower.taps["h2"]
    assert set(follower.ends) == {
        End(source="10.0.1.20", target="10.0.1.2", port=80),
        End(source="10.0.1.20", target="10.0.1.11", port=80),
        End(source="10.0.1.20", target="10.0.1.12", port=80),
    }


def test_a_conversation_is_told_with_its_ends_its_backend_and_its_packets(case, follower):
    follower.take(NOW, passed(case), {})
    (talk,) = follower.take(NOW + 1, passed(case), {}).talks
    assert (talk.source, talk.target) == (f"10.0.1.20:{PORT}", "10.0.1.12:80")
    assert (talk.there, talk.back, talk.lost) == (6, 6, "")
    assert talk.backend == "web2 on h2"


def test_two_clients_are_two_conversations(case, follower):
    seen = passed(case)
    for node, parts in passed(case, "10.0.1.11", port=PORT + 1).items():
        seen.setdefault(node, []).extend(parts)
    follower.take(NOW, seen, {})
    told = follower.take(NOW + 1, {}, {}).talks
    assert {talk.backend for talk in told} == {"web1 on h1", "web2 on h2"}


def test_what_is_new_is_told_of_when_it_is_known_how_far_it_got(case, follower):
    assert follower.take(NOW, passed(case, until=2), {}).talks == ()
    (talk,) = follower.take(NOW + 1, {}, {}).talks
    assert talk.lost == (
        "not seen at vxlan0 of network mongo on h1, though at veth1 of network mongo on h1"
    )
    assert talk.back == 0


def test_who_says_nothing_more_is_not_told_of_again(case, follower):
    follower.take(NOW, passed(case), {})
    assert follower.take(NOW + 1, {}, {}).talks
    assert follower.take(NOW + 2, {}, {}).talks == ()
    follower.take(NOW + 2 + FORGOTTEN_AFTER, {}, {})
    follower.take(NOW + 3 + FORGOTTEN_AFTER, passed(case), {})
    (talk,) = follower.take(NOW + 4 + FORGOTTEN_AFTER, {}, {}).talks
    assert talk.there == 3


def test_where_nobody_watches_nothing_is_lost(case, follower):
    seen = passed(case)
    del seen["h2"]
    follower.take(NOW, seen, {"h2": "no session"})
    told = follower.take(NOW + 1, seen, {"h2": "no session"})
    assert told.talks[0].lost == ""
    assert told.notes == ("h2: no session",)


def test_without_an_address_there_is_nothing_to_watch():
    hosts = Hosts()
    hosts.errors["web"] = "no answer"
    assert Follower(Case(hosts.survey(), "client", "web")).taps == {}
