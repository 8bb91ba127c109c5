"""Debian's Docker Engine on a host of a lab, without a way out: programs out of its packages."""

import os
import shutil
import sys
from pathlib import Path

from skep.lab.down import down, exclusive
from skep.lab.layout import lab_named
from skep.lab.up import Wish, up

PROGRAMS = Path(__file__).parents[2] / ".venv" / "docker-engine"
START = f"""
export PATH={PROGRAMS}/usr/sbin:{PROGRAMS}/usr/bin:$PATH
exec dockerd --data-root /var/lib/skep/docker --exec-root /run/docker --pidfile /run/docker.pid \
  -H unix:///run/docker.sock --exec-opt native.cgroupdriver=cgroupfs
"""


class DockerLab:
    """A lab of one host, h1, that has dockerd where others have skepd."""

    def __init__(self, name):
        self.name = name
        self.client = shutil.which("docker")
        assert self.client, "there is no docker client: bin/test installs one"
        assert (PROGRAMS / "usr/sbin/dockerd").exists(), "bin/test unpacks Docker Engine"

    def up(self):
        """Make it, with the lab's images."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = cache / "skep" / "images"
        wish = Wish(command=("sh", "-c", START), image_folder=folder, hosts=1)
        up(lab_named(self.name), wish, lambda step: None)

    def down(self):
        """Remove it."""
        with exclusive():
            down(lab_named(self.name))

    def socket(self, host):
        """Where a host's API is."""
        return f"/run/skep-lab/{self.name}/{host}/run/docker.sock"

    def inside(self, host, *command):
        """The command line that runs something inside a host."""
        lab = [sys.executable, "-m", "skep.cli.main", "lab", "exec"]
        return [*lab, "--name", self.name, host, "--", *command]
