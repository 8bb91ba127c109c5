"""Types the walkthroughs' rows on a lab of two hosts, and judges what comes back."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SHORTHAND = Path(__file__).with_name("shorthand.sh")
SKEP = [sys.executable, "-m", "skep.cli.main", "lab"]
_PATIENCE = 600
_SHOWN = 6000


class Shell:
    """Runs scripts with the walkthroughs' words at hand."""

    def __init__(self, lab, docker, folder):
        self._lab = lab
        self._folder = folder
        # The system's python3 for assertions, whatever environment the tests themselves run in.
        self._environment = os.environ | {
            "LAB": lab,
            "PYTHON": sys.executable,
            "DOCKER": docker,
            "LC_ALL": "C",
        }

    def run(self, script, stdin=subprocess.DEVNULL):
        """A script's exit code, output and complaints; it and its children end in time."""
        process = subprocess.Popen(
            ["bash", "-c", f'source "{SHORTHAND}"\n{script}'],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
            cwd=self._folder,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        try:
            output, complaints = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, complaints = process.communicate()
            return 124, output, f"{complaints}\nnot done within {_PATIENCE} seconds"
        return process.returncode, output, complaints

    def judge(self, assertion, output, code):
        """Run an assertion on an output."""
        kept = self._folder / "output"
        kept.write_text(output)
        with kept.open() as stdin:
            return self.run(f'OUT=$(cat "{kept}")\nRC={code}\n{assertion}', stdin)

    def check(self, row):
        """Type a row; fails the test if what must be true is not."""
        code, output, complaints = self.run(row.command)
        verdict, said, complained = self.judge(row.assertion, output, code)
        if verdict != 0:
            pytest.fail(
                f"{row.id}: {row.shows}\n"
                f"$ {row.command}\n{output[-_SHOWN:]}{complaints[-_SHOWN:]}(exit code {code})\n"
                f"? {row.assertion}\n{said}{complained}(exit code {verdict})\n{self._logs()}",
                pytrace=False,
            )

    def _logs(self):
        """What the daemons said last."""
        parts = []
        for host in ("h1", "h2"):
            log = Path(f"/var/lib/skep-lab/{self._lab}/{host}/skepd.log")
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            parts.append(f"{host} skepd: " + "\n          ".join(lines[-6:]))
        return "\n".join(parts)


@contextlib.contextmanager
def walking(lab, folder, *options):
    """A shell for a lab of two hosts that is made, and removed again."""
    docker = shutil.which("docker")
    assert docker, "there is no docker client: bin/test installs one"
    _skep(lab, "down")
    try:
        _skep(lab, "up", "--hosts", "2", "--wait", "300", *options)
        ready = Shell(lab, docker, folder)
        # A row runs "ubuntu"; nothing of it matters but that it can sleep.
        for host in (1, 2):
            code, _, complaints = ready.run(f"D {host} tag busybox:latest ubuntu:latest")
            assert code == 0, complaints
        yield ready
    finally:
        if not os.environ.get("SKEP_KEEP_LAB"):
            _skep(lab, "down")


def _skep(lab, verb, *options):
    done = subprocess.run(
        [*SKEP, verb, "--name", lab, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"skep lab {verb}: {done.stdout}{done.stderr}"
