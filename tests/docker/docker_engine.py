"""Debian's Docker Engine on hosts of a lab, without a way out: programs out of its packages."""

import json
import os
from pathlib import Path

from swarm_lab import SwarmLab

from skep.engine.docker import RUNTIME, SETTINGS
from skep.lab.init import default_command
from skep.lab.layout import lab_named
from skep.lab.up import Wish, up

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / ".venv" / "docker-engine"
PATH = f"export PATH={PROGRAMS}/usr/sbin:{PROGRAMS}/usr/bin:$PATH"
PLACES = {
    "data-root": "/var/lib/skep/docker",
    "exec-root": "/run/docker",
    "pidfile": "/run/docker.pid",
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
}

ALONE = f"""{PATH}
echo '{json.dumps({**PLACES, "hosts": ["unix:///run/docker.sock"]})}' >/run/daemon.json
exec dockerd --config-file /run/daemon.json
"""
"""A host that has dockerd where others have skepd."""

SOCKET = "/run/docker-engine.sock"
SET = {
    **PLACES,
    **SETTINGS,
    "hosts": [f"unix://{SOCKET}"],
    "runtimes": {RUNTIME: {"path": str(ROOT / "bin" / "skep-runc")}},
}

UNDER_SKEP = f"""{PATH}
echo '{json.dumps(SET)}' >/run/daemon.json
while :; do
  rm -f /run/docker.pid
  dockerd --config-file /run/daemon.json >>/run/dockerd.log 2>&1
done &
until curl -s --unix-socket {SOCKET} http://engine/_ping; do sleep 0.2; done
exec {" ".join(default_command())} --engine unix://{SOCKET}
"""
"""A host whose skepd uses a dockerd, which is started again when it ends."""


class DockerLab(SwarmLab):
    """A lab whose hosts have dockerd, as one of the scripts above says."""

    def __init__(self, name, hosts, start):
        super().__init__(name, hosts)
        self.start = start
        assert (PROGRAMS / "usr/sbin/dockerd").exists(), "bin/test unpacks Docker Engine"

    def up(self):
        """Make it, with the lab's images."""
        self.down()
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        wish = Wish(
            command=("sh", "-c", self.start), image_folder=cache / "skep" / "images",
            hosts=len(self.hosts), patience=300,
        )  # fmt: skip
        up(lab_named(self.name), wish, lambda step: None)
