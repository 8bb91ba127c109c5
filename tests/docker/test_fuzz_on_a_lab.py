"""Requests of all kinds to a whole engine: none is answered with a fault, and nothing is left over.

Seeded, so that every run asks the same; how many are asked is bounded by time.
"""

import asyncio
import contextlib
import json
import os
import re
import time

import aiohttp
import pytest
from fuzzing import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from swarm_lab import SwarmLab, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),
]

SECONDS = 40
"""For how long requests are made."""

AS_DOCKER = (
    "update out of sequence",
    "connection refused",
    "network is unreachable",
)
"""What Docker, too, answers with status 500: stale updates, registries that nobody can reach."""

NO_FAULTS = (501, 503)
"""Not supported here; not possible in this state."""


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"confuzz{os.getpid()}", 1) as lab:
        lab.up()
        yield lab


def kernel(lab):
    """What may leak: namespaces, links, rules, what is on disk of containers."""
    rules = lab.run("h1", "nft", "-s", "list", "ruleset")
    state = "/var/lib/skep"
    return {
        "namespaces": sorted(re.findall(r"^\S+", lab.run("h1", "ip", "netns"), re.MULTILINE)),
        "links": sorted(re.findall(r"^\d+: ([^@:]+)", lab.run("h1", "ip", "link"), re.MULTILINE)),
        "rules": re.sub(r"counter packets \d+ bytes \d+|expires \S+", "", rules),
        "routes": lab.run("h1", "ip", "route"),
        "processes": lab.run("h1", "sh", "-c", "ps -eo args | grep -c '[c]onmon' || true"),
        "disk": lab.run("h1", "sh", "-c", f"find {state}/containers {state}/sandboxes"
                        f" {state}/engine/extras -mindepth 1 2>/dev/null || true"),
    }  # fmt: skip


async def asked(lab, cases, end):
    """The answers that are faults, and how many there were of each status."""
    found, statuses = [], {}
    connector = aiohttp.UnixConnector(path=lab.socket("h1"))
    limit = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession("http://d", connector=connector, timeout=limit) as session:
        for method, path, parameters, body in cases:
            if time.monotonic() > end:
                break
            given = {"data": body} if isinstance(body, bytes) else {"json": body}
            if isinstance(body, bytes):
                given["headers"] = {"Content-Type": "application/x-tar"}
            async with session.request(method, path, params=parameters, **given) as reply:
                said = (await reply.read()).decode(errors="replace")
            statuses[reply.status] = statuses.get(reply.status, 0) + 1
            fault = reply.status >= 500 and reply.status not in NO_FAULTS
            if fault and not any(words in said for words in AS_DOCKER):
                found.append((reply.status, said[:300], method, path, parameters, body))
    return found, statuses


def cleared(lab):
    """Remove what the requests made."""
    for kind, remove in (
        (["service", "ls", "-q"], ["service", "rm"]),
        (["ps", "-aq", "--filter", "is-task=false"], ["rm", "-fv"]),
        (["network", "ls", "-q", "--filter", "type=custom"], ["network", "rm"]),
        (["volume", "ls", "-q"], ["volume", "rm", "-f"]),
        (["secret", "ls", "-q"], ["secret", "rm"]),
        (["config", "ls", "-q"], ["config", "rm"]),
    ):
        names = set(lab.docker("h1", *kind).split())
        kept = lab.docker("h1", "network", "ls", "-q", "--filter", "name=^ingress$", "--filter",
                          "name=docker_gwbridge").split()  # fmt: skip
        for name in names - set(kept):
            lab.tried("h1", *remove, name)


def test_nothing_is_a_fault_and_nothing_is_left(lab):
    before = kernel(lab)
    end, faults, counts = time.monotonic() + SECONDS, [], {}

    @seed(11)
    @settings(
        max_examples=200, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(requests(), min_size=10, max_size=20))
    def ask(cases):
        # A slow machine gets longer until anything is made at all.
        if time.monotonic() < end or not counts.get(201):
            longer = max(end, time.monotonic() + 10)
            found, statuses = asyncio.run(asked(lab, cases, longer))
            faults.extend(found)
            for status, count in statuses.items():
                counts[status] = counts.get(status, 0) + count

    ask()
    assert faults == [], json.dumps(faults, indent=1, default=str)
    assert counts.get(201, 0) > 0, counts
    seen = {}

    def restored():
        # What a task uses that is still ending cannot be removed yet.
        cleared(lab)
        seen.update(kernel(lab))
        return seen == before

    with contextlib.suppress(AssertionError):
        until(restored, 180)
    assert {what: now for what, now in seen.items() if now != before[what]} == {}, before
