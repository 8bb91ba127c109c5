"""Requests of every route with parameters and bodies of all kinds: none is a fault of ours.

The world is one of fakes, whose refusals are refusals: a 500 that comes out is the API's own.
Bounded and seeded, so that every run asks the same.
"""

import asyncio
import json
import tempfile

import aiohttp
import pytest
from api_world import World
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from skep.api.errors import INTERNAL
from skep.api.routes import ROUTES

STREAMING = (
    "/events",
    "/topology/events",
    "/logs",
    "/stats",
    "/attach",
    "/wait",
    "/exec/",
    "/page",
)
"""What answers for as long as it likes is asked elsewhere."""

ASKED = [
    route
    for route in ROUTES
    if not any(word in route.pattern for word in STREAMING)
    and route.pattern not in ("/swarm/leave", "/containers/{id}/restart")
]

WORDS = st.sampled_from(
    ["c", "busybox", "bridge", "nosuch", "", "a/b", "%00", "..", "🐳", "x" * 300]
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-1, 2**63), st.floats(), WORDS)
NAMES = st.sampled_from(
    ["Name", "Driver", "Labels", "Image", "HostConfig", "NetworkMode", "IPAM", "Config", "Subnet",
     "TaskTemplate", "ContainerSpec", "Mode", "Replicated", "Replicas", "EndpointSpec", "Ports",
     "NetworkingConfig", "EndpointsConfig", "Container", "EndpointConfig", "Cmd", "Memory",
     "RestartPolicy", "Spec", "Role", "Availability", "Data", "PortBindings", "Options",
     "serveraddress", "JoinToken", "RemoteAddrs", "Binds", "unknown"]
)  # fmt: skip
BODIES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)
FILTERS = st.dictionaries(
    st.sampled_from(
        ["name", "id", "label", "label!", "until", "status", "bogus", "dangling", "all"]
    ),
    st.one_of(
        st.lists(WORDS, max_size=2), st.dictionaries(WORDS, st.booleans(), max_size=2), SCALARS
    ),
    max_size=2,
)
PARAMETERS = st.dictionaries(
    st.sampled_from(["all", "limit", "size", "force", "v", "t", "signal", "name", "version", "path",
                     "h", "w", "tag", "repo", "container", "term", "since", "names"]),
    st.one_of(WORDS, st.integers(-5, 2**40).map(str)),
    max_size=3,
)  # fmt: skip


@st.composite
def requests(draw):
    route = draw(st.sampled_from(ASKED))
    path = route.pattern.replace("*", "")
    for part in ("{id}", "{name}"):
        path = path.replace(
            part, draw(st.sampled_from(["c", "web", "nosuch", "busybox", "%2e%2e"]))
        )
    parameters = draw(PARAMETERS)
    if draw(st.booleans()):
        parameters["filters"] = json.dumps(draw(FILTERS))
    body = draw(st.none() | BODIES)
    return route.method, path, parameters, body


async def asked(cases):
    """The answers that are faults of ours."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        async with World(f"{folder}/s").serve() as world:
            await world.swarm()
            connector = aiohttp.UnixConnector(path=world.socket)
            async with aiohttp.ClientSession("http://docker", connector=connector) as session:
                for body in ({"Image": "busybox", "Cmd": ["sleep"]}, {"Image": 5}, {"Cmd": ["x"]}):
                    await fault_of(session, ("POST", "/containers/create", {"name": "c"}, body))
                for case in cases:
                    found += await fault_of(session, case)
    return found


async def fault_of(session, case):
    method, path, parameters, body = case
    asking = session.request(method, path, params=parameters, json=body, timeout=TIMEOUT)
    async with asking as reply:
        said = await reply.read()
        bad = reply.status == 500 and INTERNAL.encode() in said
        return [(case, said)] if bad else []


TIMEOUT = aiohttp.ClientTimeout(total=60)


@pytest.mark.filterwarnings("ignore")
@seed(7)
@settings(
    max_examples=40,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(requests(), min_size=20, max_size=40))
def test_no_request_is_a_fault_of_ours(cases):
    assert asyncio.run(asked(cases)) == []
