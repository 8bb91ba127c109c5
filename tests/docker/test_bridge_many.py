"""Many containers come and go on one host, and its kernel is as it was."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(1200)]
AT_ONCE = 4


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"brgmany{os.getpid()}", 1) as lab:
        lab.up(swarm=False)
        for name in ("one", "two"):
            lab.docker("h1", "network", "create", "--ipv6", name)
        yield lab


def contents(lab):
    """All that networking can leave behind, in lines."""
    texts = {
        "links": lab.run("h1", "ip", "-o", "link", "show"),
        "namespaces": lab.run("h1", "ip", "netns"),
        "addresses": lab.run("h1", "ip", "-o", "-br", "addr"),
        "routes": lab.run("h1", "ip", "route") + lab.run("h1", "ip", "-6", "route"),
        "rules": lab.run("h1", "nft", "-s", "list", "ruleset"),
        "files": "\n".join(kept(lab, "sandboxes") + kept(lab, "containers")),
    }
    return {f"{kind}: {line}" for kind, text in texts.items() for line in text.splitlines()}


def kept(lab, what):
    directory = Path(f"/var/lib/skep-lab/{lab.name}/h1/skep/{what}")
    return sorted(each.name for each in directory.iterdir()) if directory.is_dir() else []


def idle(lab):
    """Whether no bridge has a port any more: the kernel takes some time over that."""
    lines = lab.run("h1", "ip", "-br", "link", "show", "type", "bridge").splitlines()
    return lines and all(line.split()[1] == "DOWN" for line in lines)


def come_and_go(lab, number):
    name = f"box{number}"
    published = ("-p", "80") if number % 2 else ("-p", f"127.0.0.1:{20000 + number}:80/udp")
    lab.docker("h1", "run", "-d", "--name", name, "--network", "one", "--network", "two",
               *published, "busybox", "sleep", "1d")  # fmt: skip
    lab.docker("h1", "network", "disconnect", "one", name)
    lab.docker("h1", "network", "connect", "bridge", name)
    lab.docker("h1", "rm", "-f", name)


def check(lab, count):
    come_and_go(lab, count)  # A bridge that never had a port says so.
    until(lambda: idle(lab), 60)
    before = contents(lab)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: come_and_go(lab, number), range(count)))
    deadline = time.monotonic() + 120
    while (left := sorted(contents(lab) ^ before)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == []


def test_twenty(lab):
    check(lab, 20)


@pytest.mark.long
def test_two_hundred(lab):
    check(lab, 200)
