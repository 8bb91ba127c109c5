"""What is seen on a host's underlay."""

import os
import subprocess

from swarm_lab import until


class Capture:
    """All packets of a host's underlay but the mesh's own, while it is entered."""

    def __init__(self, lab, host):
        self._file = f"/run/skep-lab/{lab.name}/{host}/run/underlay.pcap"
        self._command = lab.inside(
            host, "tcpdump", "-i", "any", "-U", "-s", "0", "-w", "/run/underlay.pcap",
            "udp and not port 7946",
        )  # fmt: skip

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: os.path.exists(self._file), 60)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(60)

    def read(self):
        """All that was seen so far."""
        with open(self._file, "rb") as file:
            return file.read()
