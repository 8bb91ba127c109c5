"""How long after a cut has healed everything is right again, on every host.

Run as root: ``bin/bench heal``. It makes a lab of three hosts with a name of its own, and takes it
down again. README.md says what is changed meanwhile and how to read what it prints.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

from legs import healing
from legs.command import Command, run
from legs.hosts import MANAGER, Hosts, lab_of, wait_until
from legs.samples import quartiles
from legs.starts import COMMAND, IMAGE

CUT_OFF = 3
SWITCH = "bridge skep_lab cuts"
WATCHER = str(Path(healing.__file__).resolve())
NAMES = ("spread", "tasks.spread", "early", "late", "gone", "box1", "box2", "box3")
QUIET = 8.0
"""Seconds without a change after which nothing more is expected."""

Change = tuple[float, str, list[str]]


def arguments() -> argparse.Namespace:
    """The command line."""
    command = Command("heal", __doc__)
    command.count("rounds", 3, "cuts of each length")
    command.parser.add_argument(
        "--cuts",
        type=float,
        nargs="+",
        default=[2.0, 10.0, 30.0],
        metavar="S",
        help="how long cuts last, in seconds (default: 2 10 30)",
    )
    return command.options()


class Watcher:
    """`legs.healing` in one host, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said: list[Change] = []
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None, "it was started with a pipe"
        for line in self._process.stdout:
            self.said.append(json.loads(line))

    def end(self) -> None:
        """Have it end, which it does with its input."""
        assert self._process.stdin is not None, "it was started with a pipe"
        self._process.stdin.close()
        self._listener.join()

    def knows(self, before: float) -> dict[str, list[str]]:
        """All that the host knew at some time."""
        return {part: what for at, part, what in list(self.said) if at <= before}


class Scene:
    """A lab with a network, a service on two of its hosts, and a container on each."""

    def __init__(self, hosts: Hosts, lab: str) -> None:
        self.hosts, self._lab = hosts, lab

    def make(self) -> None:
        self.hosts.docker(MANAGER, "network", "create", "-d", "overlay", "--attachable", "net")
        self.hosts.docker(MANAGER, "service", "create", "--detach", "--no-resolve-image", "--name",
                          "spread", "--network", "net", "--replicas", "2", "--constraint",
                          f"node.hostname!=h{CUT_OFF}", IMAGE, *COMMAND)  # fmt: skip
        for host in self.hosts.numbers:
            self.start(host, f"box{host}")
        self.scale(2)

    def start(self, host: int, name: str) -> None:
        """A container on the network."""
        self.hosts.docker(host, "run", "-d", "--name", name, "--network", "net", IMAGE, *COMMAND)

    def end(self, host: int, *names: str) -> None:
        self.hosts.docker(host, "rm", "-f", *names)

    def scale(self, tasks: int) -> None:
        """Give the service so many tasks, none of them on the third host."""
        self.hosts.docker(MANAGER, "service", "scale", f"spread={tasks}")

    def cut(self, verb: str) -> float:
        """Part the third host from all others (``add``), or let them meet again (``delete``).
        Answers when it was done, at the earliest."""
        pairs = ", ".join(f'"h{one}" . "h{other}"' for one in self.hosts.numbers
                          for other in self.hosts.numbers
                          if one != other and CUT_OFF in (one, other))  # fmt: skip
        begun = time.monotonic()
        subprocess.run(["nsenter", f"--net=/run/skep-lab/{self._lab}/switch", "nft", verb,
                        "element", *SWITCH.split(), f"{{ {pairs} }}"], check=True)  # fmt: skip
        return begun

    @contextmanager
    def watched(self) -> Iterator[dict[int, Watcher]]:
        """Eyes on every host."""
        found = self.hosts.api(MANAGER, "GET", "/networks/net")["Id"]
        network = f"/run/netns/1-{found[:10]}"
        with ExitStack() as stack:
            watchers = {}
            for host in self.hosts.numbers:
                sandbox = self.hosts.sandbox(host, f"box{host}")
                command = self.hosts.inside(host, sys.executable, WATCHER, sandbox, network, *NAMES)
                process = stack.enter_context(subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                    start_new_session=True))  # fmt: skip
                watchers[host] = Watcher(process)
                stack.callback(watchers[host].end)
            wait_until(lambda: all(each.said for each in watchers.values()), "hosts are watched")
            yield watchers


def once(scene: Scene, seconds: float) -> dict[str, float]:
    """One cut of so many seconds: how long after its end each part of each host changed last.

    Meanwhile a container begins, one ends on either side, and the service gets one more task.
    Raises RuntimeError if the hosts do not agree at the end."""
    scene.start(2, "early")
    scene.start(CUT_OFF, "gone")
    with scene.watched() as watchers:
        until_quiet(watchers)
        begun = scene.cut("add")
        scene.start(MANAGER, "late")
        scene.end(2, "early")
        scene.end(CUT_OFF, "gone")
        scene.scale(3)
        time.sleep(max(0.0, begun + seconds - time.monotonic()))
        healed = scene.cut("delete")
        until_quiet(watchers)
        result = judge(watchers, healed)
    scene.end(MANAGER, "late")
    scene.scale(2)
    return result


def until_quiet(watchers: dict[int, Watcher]) -> None:
    """Wait until no host has learnt anything for a while."""
    begun = time.monotonic()

    def quiet() -> bool:
        last = max(each.said[-1][0] for each in watchers.values())
        return time.monotonic() - max(last, begun) > QUIET

    wait_until(quiet, "nothing changes any more")


def judge(watchers: dict[int, Watcher], healed: float) -> dict[str, float]:
    """Seconds until the last change, by host and part; 0.0 for what never was wrong."""
    final = {host: each.knows(time.monotonic()) for host, each in watchers.items()}
    for name in NAMES:
        answers = {tuple(each[f"name {name}"]) for each in final.values()}
        if len(answers) != 1:
            raise RuntimeError(f"hosts do not agree what {name} is: {answers}")
    last: dict[str, float] = defaultdict(float)
    for host, watcher in watchers.items():
        for at, part, _ in watcher.said:
            last[f"h{host} {part.partition(' ')[0]}"] = max(0.0, at - healed)
    return last


def main() -> None:
    """Measure and print."""
    options = arguments()
    taken: dict[float, list[dict[str, float]]] = defaultdict(list)
    with lab_of(3) as hosts:
        scene = Scene(hosts, f"bench-{os.getpid()}")
        scene.make()
        for _ in range(options.rounds):
            for seconds in options.cuts:
                taken[seconds].append(once(scene, seconds))
    if options.json:
        print(json.dumps(taken))
        return
    for seconds, rounds in taken.items():
        show(seconds, rounds)


def show(seconds: float, rounds: Sequence[dict[str, float]]) -> None:
    """A table of one kind of cut."""
    print(f"\nAfter a cut of {seconds:.0f} s: seconds until all is right, worst of {len(rounds)}")
    for part in sorted(rounds[0]):
        values = [each[part] for each in rounds]
        print(f"  {part:16}{max(values):6.2f}   median {quartiles(values).middle:.2f}")


if __name__ == "__main__":
    run("heal", main)
