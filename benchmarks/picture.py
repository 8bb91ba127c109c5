"""What it costs to show a large cluster: drawing it, sending it, and seeing it in a browser.

The real atlas, page and stream behind a real Chromium on this machine's loopback; hosts are played,
so that ten thousand containers need none. Three hosts, ten services.

    python benchmarks/picture.py [CONTAINERS …]        (100 1000 10000)
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from aiohttp import web

from skep.api.guard import Guard
from skep.api.server import make_page_app, make_runner
from skep.manager.atlas import Atlas
from skep.model.cluster import TaskState
from skep.topology.build import build
from skep.topology.fold import Wanted, fold
from skep.topology.graph import difference

TESTS = Path(__file__).parents[1] / "tests"
sys.path += [str(TESTS / name) for name in ("topology", "api", "docker")]

World: Any = import_module("api_world").World
Browser: Any = import_module("browser").Browser
large: Any = import_module("topology_scene").large

TIMES = 7
WATCH = """
window.drawn = 0;
new MutationObserver(() => {
  if (document.querySelector('#stage .card')) window.drawn ||= performance.now();
}).observe(document, {childList: true, subtree: true});
"""
SEEN = "document.querySelector('#stage .chip .dot.state-broken') && Date.now() / 1000"


class Hosts:
    """Hosts that show what they are said to."""

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.sources = scene.sources()

    async def ask(self, node_id: str, what: Any, *_: Any) -> Any:
        """One host's glimpse; another only after the asked time, as nothing happens there."""
        glimpse = self.sources.glimpses[node_id]
        if what.after == glimpse.turn:
            await asyncio.sleep(what.seconds)
        return glimpse

    def state(self) -> Any:
        """What the manager knows."""
        return _State(self.scene)


class _State:
    def __init__(self, scene: Any) -> None:
        self.nodes, self.networks = scene.nodes, scene.networks
        self.services, self.tasks = scene.services, scene.tasks


def spent(work: Any) -> tuple[float, Any]:
    """Milliseconds of processor time, and what came of it."""
    begun = time.process_time()
    found = work()
    return (time.process_time() - begun) * 1000, found


def fail(scene: Any, number: int) -> None:
    """Have a task fail."""
    id = sorted(scene.tasks)[number]
    task = scene.tasks[id]
    status = msgspec.structs.replace(task.status, state=TaskState.FAILED, error="it fell")
    scene.tasks[id] = msgspec.structs.replace(task, status=status)


def drawing(boxes: int) -> dict[str, str]:
    """What the manager pays."""
    scene = large(boxes=boxes)
    built, graph = spent(lambda: build(scene.sources()))
    folded, shown = spent(lambda: fold(graph, Wanted()))
    fail(scene, 0)
    after = fold(build(scene.sources()), Wanted())
    compared, change = spent(lambda: difference(shown, after))
    size = len(msgspec.json.encode(shown))
    unfolded = len(msgspec.json.encode(graph))
    return {
        "draw it, ms of processor": f"{built + folded + compared:.0f}",
        "sent whole, kB (unfolded)": f"{size / 1000:.0f} ({unfolded / 1000:.0f})",
        "sent for one task that fails, kB": f"{len(msgspec.json.encode(change)) / 1000:.1f}",
    }


async def seeing(boxes: int) -> dict[str, str]:
    """What the onlooker waits for."""
    hosts = Hosts(large(boxes=boxes))
    atlas = Atlas(hosts, hosts.state)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "s")
        ports = msgspec.structs.replace(world.ports, topology=atlas)
        app = make_page_app(ports, facts=world.facts, guard=Guard())
        runner = make_runner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        loop = asyncio.get_running_loop()

        def change(number: int) -> None:
            fail(hosts.scene, number)
            atlas.changed()

        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            return await asyncio.to_thread(look, Path(folder), url, loop, change)
        finally:
            atlas.close()
            await runner.cleanup()


def look(folder: Path, url: str, loop: asyncio.AbstractEventLoop, change: Any) -> dict[str, str]:
    """Open the page some times; then have something happen."""
    browser = Browser(lambda *words: words, folder)
    try:
        browser.before_all(WATCH)
        opened = []
        for _ in range(TIMES):
            browser.open("about:blank")
            browser.open(url)
            opened.append(browser.until("window.drawn"))
        elements = browser.run("document.querySelectorAll('#stage *').length")
        begun = time.time()
        loop.call_soon_threadsafe(change, 0)
        seen = browser.until(SEEN) - begun
    finally:
        browser.close()
    return {
        "page drawn after, ms": f"{median(opened):.0f}",
        "elements": str(elements),
        "a change is seen after, ms": f"{seen * 1000:.0f}",
    }


def main() -> None:
    sizes = [int(word) for word in sys.argv[1:]] or [100, 1000, 10000]
    found = {size: drawing(size) | asyncio.run(seeing(size)) for size in sizes}
    print(f"{'containers':34}" + "".join(f"{size:>14}" for size in sizes))
    for name in found[sizes[0]]:
        print(f"{name:34}" + "".join(f"{found[size][name]:>14}" for size in sizes))


if __name__ == "__main__":
    main()
