"""All routes in one table, in the order in which they are tried.

``{name}`` stands for one segment of the path, ``{name*}`` for one or more (image names). A route
marked ``streams`` answers for as long as it likes and is cancelled when its client goes away; all
others run to their end once begun, whatever the client does.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from skep.api import (
    absent,
    building,
    containers,
    events,
    execs,
    flows,
    images,
    inspection,
    lifecycle,
    logs,
    metrics,
    networks,
    nodes,
    page,
    registries,
    services,
    swarm,
    system,
    tasks,
    topology,
    volumes,
)
from skep.api.call import Handler
from skep.api.secrets import CONFIGS, SECRETS


class Route(msgspec.Struct, frozen=True):
    """A method, a pattern, and who answers."""

    method: str
    pattern: str
    handler: Handler
    streams: bool = False


LOOKING = (
    Route("GET", "/skep/topology", topology.whole, streams=True),
    Route("GET", "/skep/topology/events", topology.events, streams=True),
    Route("GET", "/skep/topology/thing", topology.thing, streams=True),
    Route("GET", "/skep/matrix", topology.matrix, streams=True),
    Route("GET", "/skep/flows", flows.listed, streams=True),
    Route("GET", "/skep/page", page.home),
    Route("GET", "/skep/page/logs", page.logs, streams=True),
    Route("GET", "/skep/page/{name}", page.file),
)
"""What the page consists of, and asks for."""

PAGE_ROUTES = (
    Route("GET", "/", page.home),
    Route("GET", "/skep/trace", page.trace, streams=True),
    *LOOKING,
)
"""All that is served to browsers."""

ROUTES = (
    Route("HEAD", "/_ping", system.ping),
    Route("GET", "/_ping", system.ping),
    Route("GET", "/version", system.version),
    Route("GET", "/info", system.info),
    Route("GET", "/system/df", system.disk_usage),
    Route("GET", "/metrics", metrics.scrape),
    Route("GET", "/skep/readings", metrics.readings),
    Route("GET", "/events", events.follow, streams=True),
    Route("POST", "/auth", registries.login),
    Route("POST", "/session", building.session),
    Route("POST", "/build", building.build, streams=True),
    Route("POST", "/build/prune", building.prune),
    Route("POST", "/commit", building.commit),
    Route("GET", "/distribution/{name*}/json", images.distribution),
    # networks
    Route("GET", "/networks", networks.list_all),
    Route("POST", "/networks/create", networks.create),
    Route("POST", "/networks/prune", networks.prune),
    Route("GET", "/networks/{id}", networks.inspect),
    Route("DELETE", "/networks/{id}", networks.remove),
    Route("POST", "/networks/{id}/connect", networks.connect),
    Route("POST", "/networks/{id}/disconnect", networks.disconnect),
    # containers
    Route("GET", "/containers/json", containers.list_all),
    Route("POST", "/containers/create", lifecycle.create),
    Route("POST", "/containers/prune", lifecycle.prune),
    Route("GET", "/containers/{id}/json", containers.inspect),
    Route("GET", "/containers/{id}/logs", containers.logs, streams=True),
    Route("GET", "/containers/{id}/stats", containers.stats, streams=True),
    Route("GET", "/containers/{id}/top", containers.top),
    Route("GET", "/containers/{id}/changes", containers.changes),
    Route("GET", "/containers/{id}/export", containers.export, streams=True),
    Route("GET", "/containers/{id}/archive", containers.archive, streams=True),
    Route("HEAD", "/containers/{id}/archive", containers.archive_stat),
    Route("PUT", "/containers/{id}/archive", containers.extract, streams=True),
    Route("POST", "/containers/{id}/attach", containers.attach, streams=True),
    Route("POST", "/containers/{id}/wait", containers.wait, streams=True),
    Route("POST", "/containers/{id}/resize", containers.resize),
    Route("POST", "/containers/{id}/start", lifecycle.start),
    Route("POST", "/containers/{id}/stop", lifecycle.stop),
    Route("POST", "/containers/{id}/restart", lifecycle.restart),
    Route("POST", "/containers/{id}/kill", lifecycle.kill),
    Route("POST", "/containers/{id}/pause", lifecycle.pause),
    Route("POST", "/containers/{id}/unpause", lifecycle.unpause),
    Route("POST", "/containers/{id}/update", lifecycle.update),
    Route("POST", "/containers/{id}/rename", lifecycle.rename),
    Route("DELETE", "/containers/{id}", lifecycle.remove),
    Route("POST", "/containers/{id}/exec", execs.create),
    Route("POST", "/exec/{id}/start", execs.start, streams=True),
    Route("POST", "/exec/{id}/resize", execs.resize),
    Route("GET", "/exec/{id}/json", execs.inspect),
    # images
    Route("GET", "/images/json", images.list_all),
    Route("GET", "/images/get", images.save, streams=True),
    Route("GET", "/images/search", registries.search),
    Route("POST", "/images/load", images.load, streams=True),
    Route("POST", "/images/create", images.create, streams=True),
    Route("POST", "/images/prune", images.prune),
    Route("GET", "/images/{name*}/json", images.inspect),
    Route("GET", "/images/{name*}/history", images.history),
    Route("GET", "/images/{name*}/get", images.save_one, streams=True),
    Route("POST", "/images/{name*}/tag", images.tag),
    Route("POST", "/images/{name*}/push", registries.push, streams=True),
    Route("DELETE", "/images/{name*}", images.remove),
    # volumes
    Route("GET", "/volumes", volumes.list_all),
    Route("POST", "/volumes/create", volumes.create),
    Route("POST", "/volumes/prune", volumes.prune),
    Route("GET", "/volumes/{name}", volumes.inspect),
    Route("DELETE", "/volumes/{name}", volumes.remove),
    # swarm
    Route("GET", "/swarm", swarm.inspect),
    Route("POST", "/swarm/init", swarm.init),
    Route("POST", "/swarm/join", swarm.join),
    Route("POST", "/swarm/leave", swarm.leave),
    Route("POST", "/swarm/update", swarm.update),
    Route("GET", "/swarm/unlockkey", swarm.unlock_key),
    Route("POST", "/swarm/unlock", swarm.unlock),
    Route("GET", "/nodes", nodes.list_all),
    Route("GET", "/nodes/{id}", nodes.inspect),
    Route("DELETE", "/nodes/{id}", nodes.remove),
    Route("POST", "/nodes/{id}/update", nodes.update),
    Route("GET", "/services", services.list_all),
    Route("POST", "/services/create", services.create),
    Route("GET", "/services/{id}", services.inspect),
    Route("DELETE", "/services/{id}", services.remove),
    Route("POST", "/services/{id}/update", services.update),
    Route("GET", "/services/{id}/logs", logs.of_service, streams=True),
    Route("GET", "/tasks", tasks.list_all),
    Route("GET", "/tasks/{id}", tasks.inspect),
    Route("GET", "/tasks/{id}/logs", logs.of_task, streams=True),
    Route("GET", "/secrets", SECRETS.list_all),
    Route("POST", "/secrets/create", SECRETS.create),
    Route("GET", "/secrets/{id}", SECRETS.inspect),
    Route("DELETE", "/secrets/{id}", SECRETS.remove),
    Route("POST", "/secrets/{id}/update", SECRETS.update),
    Route("GET", "/configs", CONFIGS.list_all),
    Route("POST", "/configs/create", CONFIGS.create),
    Route("GET", "/configs/{id}", CONFIGS.inspect),
    Route("DELETE", "/configs/{id}", CONFIGS.remove),
    Route("POST", "/configs/{id}/update", CONFIGS.update),
    # what Docker has not
    Route("POST", "/skep/networks/{id}/update", networks.update),
    Route("GET", "/skep/trace", inspection.trace, streams=True),
    Route("GET", "/skep/doctor", inspection.doctor, streams=True),
    Route("POST", "/skep/doctor", inspection.doctor),
    Route("POST", "/skep/hold", inspection.hold),
    Route("POST", "/skep/rotate-keys", swarm.rotate_keys),
    Route("GET", "/skep/page-address", page.address),
    *LOOKING,
    Route("GET", "/plugins", absent.no_plugins),
    Route("GET", "/plugins/{name*}/json", absent.missing_plugin),
    Route("POST", "/plugins/pull", absent.install_plugin),
)


class Table:
    """The routes, found by method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = defaultdict(list)
        for route in routes:
            key = (route.method, route.pattern.split("/")[1])
            self._routes[key].append((_compiled(route.pattern), route))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The first route that fits and the path's variable parts; None if none does."""
        first = path.split("/")[1] if path.startswith("/") else ""
        for pattern, route in self._routes.get((method, first), ()):
            found = pattern.fullmatch(path)
            if found:
                return route, found.groupdict()
        return None


def _compiled(pattern: str) -> re.Pattern[str]:
    text = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", pattern)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", text))
