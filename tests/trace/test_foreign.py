"""Other people's rules: what of them is understood, what they do to a packet, what to tell whom."""

import json

import pytest
from msgspec.structs import replace

from skep.model.host import HostView
from skep.model.inspection import Inside, Inspection
from skep.model.netstate import HOST
from skep.model.nft import (
    Chain,
    Counter,
    Ct,
    Foreign,
    Hook,
    Match,
    Meta,
    Payload,
    Reject,
    Rule,
    Table,
    Verdict,
)
from skep.plan.journey import Flow, Place, RuleAt
from skep.plan.judge import Moment, judge
from skep.trace import firewall
from skep.trace.foreign import readable
from skep.trace.scene import Host
from skep.trace.survey import Report

PING = Flow("icmp", "192.0.2.1", "192.0.2.2")
WEB = Flow("tcp", "192.0.2.1", "192.0.2.2", 40000, 80)
HOOK = Hook("filter", "input", 0, "accept")


def unread(said):
    return Foreign(json.dumps(said))


def understood(*statements, more=()):
    chain = Chain("in", (Rule(tuple(statements)),), HOOK)
    return readable(Table("guard", (chain, *more), (), "inet"), {})


def verdict(table, flow=WEB):
    return judge(table, table.chains[0], Moment(Place("h1", HOST, "eth0"), flow, 0))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"reject": {"type": "icmpx", "expr": "admin-prohibited"}},
         Reject("icmpx admin-prohibited")),
        ({"reject": None}, Reject("icmp port-unreachable")),
        ({"log": {"prefix": "x"}}, Counter()),
        ({"goto": {"target": "in"}}, Verdict("goto", "in")),
        ({"match": {"op": "==", "left": {"ct": {"key": "state"}},
                    "right": {"set": ["new", "related"]}}},
         Match((Ct("state"),), ("new", "related"))),
    ],
)  # fmt: skip
def test_plain_meanings(said, meant):
    assert understood(unread(said)).chains[0].rules[0].statements == (meant,)


def test_the_rest_stays_unread():
    said = unread({"limit": {"rate": 3, "per": "minute"}})
    assert understood(said).chains[0].rules[0].statements == (said,)


def test_a_refusal_in_a_firewalls_words_ends_the_way():
    table = understood(unread({"reject": {"type": "icmpx", "expr": "admin-prohibited"}}))
    assert verdict(table) == "refused (icmpx admin-prohibited) by chain in"


def test_what_is_logged_goes_on_to_its_verdict():
    assert verdict(understood(unread({"log": None}), Verdict("drop"))) == "dropped by chain in"


def test_nothing_comes_back_from_where_a_rule_goes_to():
    aside = Chain("aside", (Rule((Match((Meta("l4proto"),), "udp"), Verdict("accept"))),))
    after = Rule((Verdict("drop"),))
    table = understood(unread({"goto": {"target": "aside"}}), more=(aside,))
    first = table.chains[0]
    table = replace(table, chains=(replace(first, rules=(*first.rules, after)), *table.chains[1:]))
    assert verdict(table) == "", "the base chain's policy counts, not its next rule"


@pytest.mark.parametrize(("kind", "passes"), [("echo-request", False), ("echo-reply", True)])
def test_kinds_of_icmp_are_told_apart(kind, passes):
    match = Match((Payload("icmp", "type"),), kind)
    table = understood(match, Verdict("drop"))
    assert (verdict(table, PING) == "") == passes
    assert verdict(table, WEB) == ""


def host(*tables):
    report = Report(node_id="h1", hostname="h1")
    view = HostView(node_id="h1", vtep="192.0.2.2")
    inspection = Inspection(node_id="h1", hostname="h1", begun_at=0.0, done_at=0.0, view=view,
                            state={}, insides={HOST: Inside(foreign=tables)})  # fmt: skip
    return Host(report, inspection)


UFW = Table("filter", (Chain("FORWARD", ()), Chain("ufw-before-forward", ())), (), "ip")


@pytest.mark.parametrize(
    ("table", "rule", "out", "port"),
    [
        (UFW, RuleAt("ip", "filter", "FORWARD", -1),
         "ufw route allow out on docker0", "ufw allow 80/tcp"),
        (Table("firewalld", (), (), "inet"), RuleAt("inet", "firewalld", "filter_FORWARD", 7),
         "firewall-cmd --permanent --zone=trusted --add-interface=docker0 && firewall-cmd --reload",
         "firewall-cmd --permanent --add-port=80/tcp && firewall-cmd --reload"),
        (Table("guard", (), (), "inet"), RuleAt("inet", "guard", "in", 0),
         'nft insert rule inet guard in oifname "docker0" accept',
         "nft insert rule inet guard in tcp dport 80 accept"),
    ],
)  # fmt: skip
def test_each_firewall_is_told_in_its_own_words(table, rule, out, port):
    here = host(table)
    assert firewall.through(here, HOST, rule, "docker0", "out") == out
    assert firewall.to_port(here, HOST, rule, WEB) == port
