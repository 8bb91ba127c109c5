"""Services, clients and servers on a lab, for tests of what is published and balanced."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from swarm_lab import until

CLIENT = [sys.executable, str(Path(__file__).with_name("mesh_client.py"))]


def create(lab, name, replicas, *options, runs=("nginx",)):
    """A service whose replicas run."""
    lab.docker("h1", "service", "create", "-d", "-q", "--no-resolve-image", "--name", name,
               "--replicas", str(replicas), *options, *runs)  # fmt: skip
    until(lambda: lab.running(name, replicas), 120)


@contextlib.contextmanager
def services(lab):
    """Makes services (see `create`) that are gone after the block, with all that runs."""
    made = []

    def make(name, replicas, *options, runs=("nginx",)):
        made.append(name)
        create(lab, name, replicas, *options, runs=runs)

    try:
        yield make
    finally:
        for name in made:
            lab.tried("h1", "service", "rm", name)
        until(lambda: not lab.docker("h1", "service", "ls", "-q").split(), 60)
        until(lambda: not any(lab.docker(host, "ps", "-q").split() for host in lab.hosts), 120)


def ask(lab, host, *words):
    """What a client (see ``mesh_client.py``) in a host says at its end."""
    return json.loads(lab.run(host, *CLIENT, *words).splitlines()[-1])


@contextlib.contextmanager
def running(lab, host, *words, box=""):
    """A program in a host, in the sandbox ``box`` if one is named; ends with its input or here."""
    enter = ["nsenter", f"--net=/run/netns/{box}"] if box else []
    process = subprocess.Popen(
        lab.inside(host, *enter, *words),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def talking(lab, host, *words, box=""):
    """A client or server of ``mesh_client.py`` that runs."""
    return running(lab, host, *CLIENT, *words, box=box)


def tasks(lab, name):
    """(slot, host, container id) of a service's containers."""
    found = []
    for host in lab.hosts:
        listed = lab.docker(host, "ps", "--no-trunc", "--format", "{{.Names}} {{.ID}}")
        for line in listed.splitlines():
            container, _, key = line.partition(" ")
            if container.startswith(f"{name}."):
                found.append((container.split(".")[1], host, key))
    return sorted(found)
