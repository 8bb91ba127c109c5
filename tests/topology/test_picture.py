"""Still pictures: whole, readable by machines, whatever things are called."""

import re
import shutil
import subprocess
from itertools import pairwise
from xml.etree import ElementTree

import msgspec
import pytest
from topology_scene import BACK, INGRESS, large, small

from skep.model.glance import Lan, Space
from skep.model.host import INGRESS_SANDBOX
from skep.topology import dot, picture
from skep.topology.build import build
from skep.topology.detail import detailed
from skep.topology.fold import Wanted, fold
from skep.topology.scenery import cards

EVIL = '"><script>alert(1)</script>&\x00\x1b]0;\n\u202e\\"; } evil'
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def graph():
    return build(small().sources())


def evil():
    """A cluster whose every name is hostile."""
    cluster = small()
    graph = build(cluster.sources())
    things = {
        id: msgspec.structs.replace(each, name=EVIL, note=EVIL, facts={EVIL: EVIL, **each.facts})
        for id, each in graph.things.items()
    }
    lines = {
        id: msgspec.structs.replace(each, note=EVIL, facts={"networks": EVIL, "delay": EVIL})
        for id, each in graph.lines.items()
    }
    return msgspec.structs.replace(graph, things=things, lines=lines)


def texts(svg):
    return ["".join(each.itertext()) for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_everything_is_in_the_picture(graph):
    found = " ".join(texts(picture.draw(graph)))
    for name in ("h1", "h2", "h3", "web.1", "web.2", "client", "ingress_sbox", "docker_gwbridge",
                 "back", "vxlan0 4097", "eth0 · 192.168.90.11"):  # fmt: skip
        assert name in found, name


@pytest.mark.parametrize("draw", [picture.draw, dot.write])
def test_a_network_without_a_bridge_says_by_what_it_is(draw):
    yard = Lan(network_id="yard", network_name="yard", driver="macvlan", parent="eth0.7")
    drawn = draw(build(small().sources(n1={"lans": (yard,)})))
    assert "yard" in drawn
    assert draw is dot.write or "macvlan on eth0.7" in drawn


@pytest.mark.parametrize("draw", [picture.draw, dot.write])
def test_a_box_is_told_by_its_own_address_not_the_meshs(draw):
    cluster = small()
    cluster.service("api", networks=(INGRESS, BACK))
    box = cluster.run("api", "n1", 1, (INGRESS, BACK))
    on_mesh, own = (each.address.partition("/")[0] for each in box.endpoints[:2])
    text = draw(build(cluster.sources()))
    assert own in text and on_mesh not in text
    mesh = next(each for each in cluster.boxes["n1"] if each.id == INGRESS_SANDBOX)
    assert mesh.endpoints[0].address.partition("/")[0] in text


def test_each_plug_is_a_wire_and_each_tunnel_a_curve(graph):
    root = ElementTree.fromstring(picture.draw(graph))
    paths = [each.get("class") for each in root.iter(f"{SVG}path")]
    plugs = [each for each in graph.lines.values() if each.kind == "plug"]
    overlays = [each for each in graph.things.values() if each.kind == "overlay"]
    assert paths.count("wire") == len(plugs) + len(overlays)
    assert paths.count("join") == 1


def test_nothing_overlaps(graph):
    placed = cards(graph)
    for card in placed:
        rows = [(each.y, each.y + 26) for each in card.bars]
        assert all(one[1] <= other[0] for one, other in pairwise(rows))
        assert max(each.y + 40 for each in card.chips) <= card.bars[0].y
        assert all(each.x + each.width <= card.width for each in (*card.chips, *card.bars))
    for one, other in pairwise(placed):
        assert one.x + one.width <= other.x or one.y + one.height <= other.y


def test_large_pictures_are_drawn_folded():
    text = picture.draw(fold(build(large().sources()), Wanted()))
    assert "\N{MULTIPLICATION SIGN} 34" in " ".join(texts(text))
    assert len(text) < 100_000


@pytest.mark.parametrize("draw", [picture.draw, dot.write])
def test_hostile_names_are_only_names(draw):
    text = draw(evil())
    assert "<script" not in text or draw is dot.write
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)


def test_hostile_names_leave_an_svg_whole():
    root = ElementTree.fromstring(picture.draw(evil()))
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg", "style", "rect", "g", "circle", "text", "tspan", "path", "title",
    }  # fmt: skip


def test_hostile_names_leave_a_dot_file_whole():
    """All quotes are closed, and outside of them is nothing but our own words."""
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "Q", dot.write(evil()))
    assert '"' not in outside and "evil" not in outside and "script" not in outside
    assert outside.count("{") == outside.count("}") == 4


def test_dot_has_a_node_for_each_thing_and_an_edge_for_each_line(graph):
    text = dot.write(graph)
    for id in graph.things:
        assert f'"{id}"' in text
    for line in graph.lines.values():
        assert f'"{line.source}" -- "{line.target}"' in text


def test_what_is_broken_is_red():
    cluster = small()
    box = cluster.boxes["n1"][0]
    cluster.spaces["n1"][box.namespace] = Space()
    graph = build(cluster.sources())
    assert "red3" in dot.write(graph) and "red3" not in dot.write(build(small().sources()))
    assert picture.INK["broken"] in picture.draw(graph)


@pytest.mark.skipif(shutil.which("rsvg-convert") is None, reason="needs rsvg-convert")
def test_a_renderer_takes_it(tmp_path):
    source = tmp_path / "a.svg"
    source.write_text(picture.draw(evil()))
    done = subprocess.run(["rsvg-convert", "-o", str(tmp_path / "a.png"), str(source)],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_thing_is_told_with_what_it_is_joined_to():
    cluster = small()
    graph = build(cluster.sources())
    box = graph.things["box:webt1"]
    detail = detailed(graph, box, cluster.glimpse("n1"))
    assert set(detail.around) == {
        "overlay:n1/ingressnet", "overlay:n1/backnetwork", "bridge:n1/docker_gwbridge",
    }  # fmt: skip
    assert set(detail.gauges) == {"eth0", "eth1", "eth2"}
    assert detailed(graph, box, None).gauges == {}
