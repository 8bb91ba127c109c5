"""The picture over HTTP: whole, as it changes, and to browsers only what they may see."""

import asyncio
import contextlib
import json
import re
import socket

import aiohttp
import msgspec
import pytest
from api_world import World

from skep.api import page as pages
from skep.api import topology
from skep.api.guard import COOKIE, Guard
from skep.api.ports import PageAddress
from skep.api.server import Service, make_page_app
from skep.door import listening_at
from skep.model.errors import Missing, Unavailable
from skep.topology.delays import Matrix, Path
from skep.topology.detail import Detail
from skep.topology.graph import Change, Graph, Thing, patched
from skep.trace.report import Trace

EVIL = '"><script>alert(1)</script>\n\u2028event: whole\n\ndata: {}'
TOKEN = "secret-token"


def graph(*names):
    return Graph(things={n: Thing(id=n, kind="box", name=n) for n in names}, boxes=len(names))


class Drawn:
    """Pictures that tests hand out."""

    def __init__(self):
        self.now, self.asked, self.open = graph("a"), [], 0
        self.changed = asyncio.Event()
        self.manages = True

    def become(self, new):
        self.now = new
        self.changed.set()
        self.changed = asyncio.Event()

    async def graph(self, wanted):
        self.asked.append(wanted)
        if not self.manages:
            raise Unavailable("This host is no manager")
        return self.now

    async def matrix(self):
        return Matrix(hosts={"host:a": "a"}, paths=(Path(source="host:a", target="host:b"),))

    async def detail(self, id):
        if id not in self.now.things:
            raise Missing(f"there is nothing called {id}")
        return Detail(thing=self.now.things[id])

    async def watch(self, wanted):
        self.asked.append(wanted)
        if not self.manages:
            raise Unavailable("This host is no manager")
        self.open += 1
        try:
            while True:
                waiting = self.changed
                yield self.now
                await waiting.wait()
        finally:
            self.open -= 1


class Tracing:
    async def trace(self, source, target, probe):
        return Trace(source=source, target=target, protocol="icmp", reached=not probe)


class Page:
    def address(self):
        return PageAddress(url="https://192.0.2.1:2378/", token="t", fingerprint="f")


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path / "s")
    made.drawn = Drawn()
    made.ports = msgspec.structs.replace(
        made.ports, topology=made.drawn, inspection=Tracing(), page=Page()
    )
    async with made.serve() as served:
        await served.swarm()
        yield served


@pytest.fixture
async def client(world):
    connector = aiohttp.UnixConnector(path=world.socket)
    async with aiohttp.ClientSession("http://docker", connector=connector) as session:
        yield session


@contextlib.asynccontextmanager
async def browser(world, guard, **options):
    """The page on a TCP socket, and a client of it."""
    service = Service(make_page_app(world.ports, facts=world.facts, guard=guard))
    listener = listening_at("127.0.0.1", 0)
    port = listener.getsockname()[1]
    await service.open(listener)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", **options) as session:
            yield session
    finally:
        await service.close()


async def told(response):
    """The events of a stream: name and decoded data."""
    name = ""
    async for line in response.content:
        key, _, value = line.decode().rstrip("\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


class TestPicture:
    async def test_whole_and_as_wanted(self, world, client):
        async with client.get("/skep/topology?expand=g1&expand=g2&show=h1/x&find=web&all=1") as got:
            assert (await got.json())["things"]["a"]["name"] == "a"
        (wanted,) = world.drawn.asked
        assert (wanted.expand, wanted.show) == ({"g1", "g2"}, {"h1/x"})
        assert (wanted.find, wanted.whole) == ("web", True)

    @pytest.mark.parametrize("query", [f"find={'x' * 300}", "&".join(["expand=x"] * 101)])
    async def test_too_much_is_refused(self, client, query):
        async with client.get(f"/skep/topology?{query}") as got:
            assert got.status == 400

    async def test_the_matrix_and_one_thing(self, client):
        async with client.get("/skep/matrix") as got:
            assert (await got.json())["paths"][0]["target"] == "host:b"
        async with client.get("/skep/topology/thing?id=a") as got:
            assert (await got.json())["thing"]["kind"] == "box"
        async with client.get("/skep/topology/thing?id=zz") as got:
            assert got.status == 404
        async with client.get("/skep/topology/thing") as got:
            assert got.status == 400

    async def test_a_worker_says_so(self, world, client):
        world.drawn.manages = False
        for path in ("/skep/topology", "/skep/topology/events"):
            async with client.get(path) as got:
                assert (got.status, (await got.json())["message"]) == (
                    503, "This host is no manager",
                )  # fmt: skip


class TestStream:
    async def test_the_whole_first_then_changes(self, world, client):
        async with client.get("/skep/topology/events") as got, asyncio.timeout(60):
            assert got.content_type == "text/event-stream"
            events = told(got)
            name, whole = await anext(events)
            assert (name, whole["boxes"]) == ("whole", 1)
            seen = msgspec.convert(whole, Graph)
            for wanted in (graph("a", "b"), graph("b"), graph()):
                world.drawn.become(wanted)
                name, change = await anext(events)
                assert name == "change"
                seen = patched(seen, msgspec.convert(change, Change))
                assert seen == wanted

    async def test_names_cannot_forge_events(self, world, client):
        world.drawn.now = graph(EVIL)
        async with client.get("/skep/topology/events") as got, asyncio.timeout(60):
            name, whole = await anext(told(got))
            assert (name, whole["things"][EVIL]["name"]) == ("whole", EVIL)

    async def test_nothing_is_sent_when_nothing_changed(self, world, client, monkeypatch):
        monkeypatch.setattr(topology, "BEAT", 0.05)
        async with client.get("/skep/topology/events") as got, asyncio.timeout(60):
            await anext(told(got))
            world.drawn.become(graph("a"))
            beats = 0
            async for line in got.content:
                assert line in (b"\n", b": still here\n")
                beats += line != b"\n"
                if beats == 2:
                    break

    async def test_who_leaves_is_forgotten(self, world, client, monkeypatch):
        monkeypatch.setattr(topology, "BEAT", 0.02)
        async with client.get("/skep/topology/events") as got:
            await anext(told(got))
            assert world.drawn.open == 1
            got.close()
        async with asyncio.timeout(60):
            while world.drawn.open:
                await asyncio.sleep(0.01)

    async def test_who_takes_nothing_is_dropped(self, world, monkeypatch):
        monkeypatch.setattr(topology, "SLOW", 0.2)
        name = "x" * 2_000_000
        with socket.socket(socket.AF_UNIX) as lazy:
            lazy.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(lazy, world.socket)
            await loop.sock_sendall(
                lazy, b"GET /skep/topology/events HTTP/1.1\r\nHost: docker\r\n\r\n"
            )
            async with asyncio.timeout(60):
                while not world.drawn.asked:
                    await asyncio.sleep(0.01)
                number = 0
                while world.drawn.open or not number:
                    number += 1
                    world.drawn.become(graph(f"{name}{number}"))
                    await asyncio.sleep(0.02)


class TestPage:
    @pytest.fixture
    async def client(self, world):
        async with browser(world, Guard()) as session:
            yield session

    async def test_it_is_served_with_all_its_files(self, client):
        async with client.get("/") as got:
            assert got.content_type == "text/html"
            text = await got.text()
        names = re.findall(r'(?:src|href)="/skep/page/([^"]+)"', text)
        assert {"main.js", "style.css", "icon.svg"} <= set(names)
        for name in [*names, *pages.files()]:
            async with client.get(f"/skep/page/{name}") as got:
                assert got.status == 200
                assert got.content_type in pages.TYPES.values()
                for other in re.findall(r'from "\./([^"]+)"', await got.text()):
                    assert other in pages.files()

    async def test_nothing_comes_from_elsewhere_and_nothing_is_inline(self, client):
        for name, file in pages.files().items():
            text = file.body.decode().replace("http://www.w3.org/", "")
            assert "http://" not in text and "https://" not in text, name
            for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
                         "eval(", "new Function", "onclick=\"", "style=\""):  # fmt: skip
                assert word not in text, (name, word)
        async with client.get("/") as got:
            policy = got.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'") and "unsafe" not in policy
            assert got.headers["X-Content-Type-Options"] == "nosniff"
            assert got.headers["X-Frame-Options"] == "DENY"

    async def test_files_are_not_sent_twice(self, client):
        async with client.get("/skep/page/main.js") as got:
            tag = got.headers["ETag"]
        async with client.get("/skep/page/main.js", headers={"If-None-Match": tag}) as got:
            assert (got.status, await got.read()) == (304, b"")

    @pytest.mark.parametrize("path", ["/skep/page/..%2fpage.py", "/skep/page/x.js", "/info",
                                      "/containers/json", "/skep/doctor", "/skep/page-address",
                                      "/v1.47/containers/json"])  # fmt: skip
    async def test_nothing_else_is_there(self, client, path):
        async with client.get(path) as got:
            assert got.status == 404

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
    async def test_it_only_looks(self, client, method):
        async with client.request(method, "/skep/topology") as got:
            assert got.status == 405
        for query in ("live=1", "follow=1"):
            async with client.get(f"/skep/trace?from=a&to=b&{query}") as got:
                assert got.status == 403
                assert "only looks" in (await got.json())["message"]
        async with client.get("/skep/trace?from=a&to=b") as got:
            assert (await got.json())["reached"] is True

    async def test_logs_end_with_the_last_lines(self, world, client, monkeypatch):
        monkeypatch.setattr(pages, "LARGEST", 12)
        await world.docker("service", "create", "-d", "--name", "web", "nginx")
        state = world.cluster.state()
        (task,) = state.tasks_of_service(state.service_named("web").id)
        frames = b"".join(
            bytes([1, 0, 0, 0, 0, 0, 0, 6]) + text for text in (b"one 1\n", b"two 2\n", b"six 6\n")
        )
        await world.cluster.log.say(task.id, frames)
        await world.cluster.log.say(task.id, refusal="it is gone", status=404)
        async with client.get(f"/skep/page/logs?task={task.id}") as got:
            assert await got.json() == {"text": "two 2\nsix 6\n", "why": "it is gone"}
        assert world.cluster.log.asked[-1][1]["tail"] == "100"
        async with client.get("/skep/page/logs?task=nosuch") as got:
            assert got.status == 404

    async def test_on_the_docker_socket_too(self, world):
        connector = aiohttp.UnixConnector(path=world.socket)
        async with aiohttp.ClientSession("http://docker", connector=connector) as session:
            for path in ("/skep/page", "/skep/page/", "/skep/page/main.js"):
                async with session.get(path) as got:
                    assert got.status == 200
            async with session.get("/skep/page-address") as got:
                assert (await got.json())["token"] == "t"


class TestGuard:
    """Who gets in."""

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:2378", "127.0.0.1.evil.example",
                                      "localhost.evil.example", "h2", ""])  # fmt: skip
    async def test_strange_names_are_turned_away(self, world, host):
        async with (
            browser(world, Guard(names=["h1"])) as session,
            session.get("/skep/topology", headers={"Host": host}) as got,
        ):
            assert got.status == 421 if host else got.status in (400, 421)
            assert "things" not in await got.text()

    @pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "LocalHost:9", "[::1]:2378",
                                      "192.0.2.7", "h1", "H1:2378"])  # fmt: skip
    async def test_addresses_and_own_names_are_known(self, world, host):
        async with (
            browser(world, Guard(names=["h1"])) as session,
            session.get("/skep/topology", headers={"Host": host}) as got,
        ):
            assert got.status == 200

    @pytest.mark.parametrize(
        "headers",
        [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"},
         {"Cookie": f"{COOKIE}=wrong"}, {"Cookie": f"other={TOKEN}"}],
        ids=str,
    )  # fmt: skip
    async def test_without_the_token_nothing_is_shown(self, world, headers):
        async with browser(world, Guard(TOKEN)) as session:
            for path in ("/", "/skep/topology", "/skep/page/main.js", "/?token=wrong"):
                async with session.get(path, headers=headers) as got:
                    assert got.status == 401
                    assert "skep page" in (await got.json())["message"]

    async def test_the_token_is_taken_once_and_brought_back(self, world):
        jar = aiohttp.CookieJar(unsafe=True)
        async with browser(world, Guard(TOKEN), cookie_jar=jar) as session:
            async with session.get(f"/?token={TOKEN}", allow_redirects=False) as got:
                assert (got.status, got.headers["Location"]) == (303, "/")
                cookie = got.headers["Set-Cookie"]
                assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
            async with session.get("/skep/topology") as got:
                assert got.status == 200

    async def test_programs_show_it_in_a_header(self, world):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            browser(world, Guard(TOKEN), headers=headers) as session,
            session.get("/skep/topology") as got,
        ):
            assert got.status == 200
