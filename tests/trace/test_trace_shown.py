"""How traces and checkups look: on a terminal, as a picture, as JSON and back."""

import xml.etree.ElementTree as ET

import msgspec
import pytest
from trace_scene import OVERLAY, Hosts

from skep.cli import doctor as doctor_verb
from skep.cli import follow
from skep.cli.ink import Ink
from skep.cli.show import tracetext
from skep.trace.doctor import CHECKS, examine
from skep.trace.drawing import draw
from skep.trace.finding import Checkup
from skep.trace.follow import Followed, Talked
from skep.trace.report import Seen, Trace

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def broken():
    hosts = Hosts()
    hosts.drop("h1", OVERLAY, "fdb", lambda e: e.mac == "02:42:0a:00:01:0c")
    return hosts


def lines(trace, *, verbose=True):
    return "\n".join(tracetext.text(trace, Ink(), verbose=verbose))


def test_a_trace_names_places_hops_and_the_verdict(broken):
    text = lines(broken.trace("client", "web"))
    assert text.startswith("client on h1 → web (10.0.1.2), tcp 80\n┌ h1 · client (client000000)\n")
    assert "│  1 ✓ name      web is 10.0.1.2" in text
    assert "✗ lost      forwarding entry 02:42:0a:00:01:0c on vxlan0 is missing" in text
    assert text.count("✗") == 2
    assert "  should  dst 192.168.50.2" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_in_short_a_hop_has_a_line_and_the_way_back_too():
    found = Hosts().trace("client", "web")
    text = lines(found, verbose=False)
    hops = [line for line in text.splitlines() if line.startswith("│")]
    assert len(hops) == len(found.there)
    assert "10.0.1.12:80 · backend 2 of 2: web2 on h2" in text
    assert f"h2 · web2, network mongo → h1 · network mongo, client ({len(found.back)} hops)" in text
    assert "✓ All 2 backends are reached." in text


def test_in_short_a_broken_way_back_is_shown():
    hosts = Hosts()
    hosts.drop("h2", OVERLAY, "fdb", lambda e: e.mac == "02:42:0a:00:01:14")
    text = lines(hosts.trace("client", "web"), verbose=False)
    assert "and back\n┌ h2 · web2" in text and "✗ lost" in text


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda hosts: None, 0),
        (lambda hosts: hosts.change_link("h1", OVERLAY, "br0", up=False), 3),
        (lambda hosts: hosts.change_link("h1", OVERLAY, "vxlan0", mtu=1300), 4),
        (lambda hosts: hosts.silent.update(h2="no session"), 5),
    ],
)
def test_the_exit_code_tells_what_became_of_the_packet(damage, code):
    hosts = Hosts()
    damage(hosts)
    assert tracetext.code(hosts.trace("client", "web")) == code


def test_what_a_probe_showed_stands_at_its_hop():
    found = Hosts().trace("client", "web")
    hops = tuple(
        msgspec.structs.replace(hop, seen=Seen(packets=n, words="a -> b"))
        for n, hop in enumerate(found.there[:3])
    )
    shown = msgspec.structs.replace(found, there=hops)
    text = lines(shown)
    assert "○ not seen (capture)" in text
    assert "● a -> b (capture, 2 packets)" in text
    brief = lines(shown, verbose=False)
    assert "│  1 ○ name" in brief and "│  2 ● mark" in brief


def test_no_colours_where_there_is_no_terminal(broken):
    assert "\x1b" not in lines(broken.trace("client", "web"))


def test_colours_on_a_terminal(broken, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    ink = Ink()
    assert ink.paint("x", "31") == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Ink().paint("x", "31") == "x"


def test_a_trace_goes_through_json_unchanged(broken):
    found = broken.trace("client", "web")
    again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(found)), Trace)
    assert again == found


@pytest.mark.parametrize("target", ["web", "idle", "10.0.1.12/tcp:80"])
def test_a_picture_has_a_row_for_each_hop_and_fits_its_frame(broken, target):
    found = broken.trace("client", target)
    picture = ET.fromstring(draw(found))
    rows = list(picture.iter(f"{SVG}g"))
    assert len(rows) == len(found.there) + len(found.back)
    height = float(picture.attrib["height"])
    assert all(float(text.attrib["y"]) < height for text in picture.iter(f"{SVG}text"))
    assert ("✗" in "".join(picture.itertext())) == (found.trouble is not None)


def test_a_picture_has_a_column_for_each_host_and_says_what_is_wrong(broken):
    picture = ET.fromstring(draw(Hosts().trace("client", "web")))
    lanes = [each for each in picture.iter(f"{SVG}rect") if each.attrib.get("class") == "lane"]
    assert len(lanes) == 2
    words = "".join(ET.fromstring(draw(broken.trace("client", "web"))).itertext())
    assert "why: forwarding entry 02:42:0a:00:01:0c on vxlan0 is missing" in words


def test_a_checkup_says_what_why_and_how(broken):
    found = examine(broken.survey())
    text = "\n".join(doctor_verb.text(found, Ink()))
    assert "✗ h1 · objects · " in text
    assert "  fix  skepd on h1 will repair it" in text
    assert f"{len(CHECKS)} checks on h1, h2, h3." in text
    again = msgspec.convert(msgspec.to_builtins(found), Checkup)
    assert again == found


def test_a_checkup_without_findings_says_so():
    found = Checkup(findings=(), hosts=("h1",), whole=False, checks=20, repaired=("h1: 2 things",))
    assert list(doctor_verb.text(found, Ink())) == [
        "repaired h1: 2 things",
        "This host is no manager: it alone was looked into.",
        "✓ Nothing is wrong: 20 checks on h1.",
    ]


def test_what_lies_between_hosts_is_a_table():
    text = "\n".join(doctor_verb.text(examine(Hosts().survey()), Ink(), verbose=True))
    lines = text.splitlines()
    assert lines[0].split() == [
        "BETWEEN", "DELAY", "LOSS", "MESH", "7946", "FULL", "SIZE", "TUNNEL", "4789", "CLUSTER",
        "2377",
    ]  # fmt: skip
    assert lines[1].startswith("h1 → h2  0.40 ms  0% of 20  ok")
    assert len([line for line in lines if "→" in line]) == 6


def test_a_followed_conversation_is_a_line_and_a_lost_one_says_where():
    fine = Talked(source="10.0.1.5:4000", target="10.0.1.2:80", there=7, back=6, backend="web.1")
    lost = Talked(source="a:1", target="b:2", there=3, back=0, lost="not seen at vxlan0")
    quiet = Talked(source="a:1", target="b:2", there=3, back=0)
    told = list(
        follow.text(Followed(at=0.0, talks=(fine, lost, quiet), notes=("h3: gone",)), Ink())
    )
    assert told[0].endswith("✓ 10.0.1.5:4000 → 10.0.1.2:80 (web.1)  7 there, 6 back")
    assert "✗ a:1 → b:2" in told[1] and told[2].strip() == "not seen at vxlan0"
    assert "! a:1" in told[3] and told[4].strip() == "! h3: gone"
