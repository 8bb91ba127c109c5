"""``service logs``: lines of all tasks on all hosts, each marked with where it comes from."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from skep.cli.api import Refused, reference
from skep.cli.command import Call, Failure
from skep.cli.frames import copy_output, frames
from skep.cli.show.rows import short_id
from skep.cli.show.tasks import Names
from skep.cli.syntax.instants import when

_MINE = "com.docker.swarm."
_STDERR = 2
_CHUNK = 65536


def log_query(call: Call) -> dict[str, Any]:
    """The query of a request for logs, as the options say."""
    options = call.options
    return {
        "stdout": True,
        "stderr": True,
        "since": when(options.text("since"), time.time()),
        "until": when(options.text("until"), time.time()),
        "timestamps": options.switch("timestamps"),
        "follow": options.switch("follow"),
        "tail": options.text("tail", "all"),
        "details": options.switch("details"),
    }


def show_logs(call: Call) -> None:
    """Print the logs of a service, or of a task."""
    name = call.arguments[0]
    path, tty, width = _found(call, name)
    raw = call.options.switch("raw")
    if tty and not raw:
        raise Failure("tty service logs only supported with --raw")
    # Which task a line belongs to is told by its details.
    query = log_query(call) | {"details": call.options.switch("details") or not raw}
    with call.api.stream("GET", f"{path}/logs", **query) as answer:

        def read() -> bytes:
            return answer.read1(_CHUNK)

        if raw:
            copy_output(read, multiplexed=not tty)
        else:
            _print_marked(call, read, width)


def _found(call: Call, name: str) -> tuple[str, bool, int]:
    """The path of what is meant, whether it has a terminal, and how wide slots are."""
    try:
        service = call.api.get(f"/services/{reference(name)}", insertDefaults="false")
    except Refused as refused:
        if not refused.missing:
            raise
    else:
        spec = service["Spec"]
        replicas = (spec["Mode"].get("Replicated") or {}).get("Replicas") or 1
        return f"/services/{reference(name)}", _has_tty(spec["TaskTemplate"]), len(str(replicas))
    try:
        task = call.api.get(f"/tasks/{reference(name)}")
    except Refused as refused:
        if refused.missing:
            raise Failure(f"no such task or service: {name}") from refused
        raise
    return f"/tasks/{reference(name)}", _has_tty(task["Spec"]), len(str(task.get("Slot", 0)))


def _has_tty(template: Mapping[str, Any]) -> bool:
    return bool((template.get("ContainerSpec") or {}).get("TTY"))


def _print_marked(call: Call, read: Callable[[], bytes], width: int) -> None:
    marker = Marker(call, width)
    for stream, content in frames(read):
        sink = sys.stderr if stream == _STDERR else sys.stdout
        for line in content.decode(errors="replace").splitlines(keepends=True):
            sink.write(marker.marked(line))
        sink.flush()


class Marker:
    """Puts ``web.1.abc@host    | `` before lines."""

    def __init__(self, call: Call, width: int) -> None:
        self._call = call
        self._width = width
        self._names = Names(call.api, resolve=not call.options.switch("no-resolve"))
        self._known: dict[tuple[str, str, str], str] = {}

    def marked(self, line: str) -> str:
        """A line with its mark. Raises `Failure` if it does not say where it comes from."""
        options = self._call.options
        stamp = ""
        if options.switch("timestamps"):
            stamp, _, line = line.partition(" ")
        details, _, text = line.partition(" ")
        known = dict(_pair(word) for word in details.split(",") if word)
        try:
            key = (known[f"{_MINE}service.id"], known[f"{_MINE}task.id"], known[f"{_MINE}node.id"])
        except KeyError as fault:
            raise Failure(f"invalid context in log line: {fault}") from fault
        if key not in self._known:
            self._known[key] = self._mark(*key)
        rest = {name: value for name, value in known.items() if not name.startswith(_MINE)}
        shown = ""
        if options.switch("details"):
            shown = ",".join(f"{name}={rest[name]}" for name in sorted(rest)) + " "
        return f"{stamp}{' ' if stamp else ''}{self._known[key]}    | {shown}{text}"

    def _mark(self, service: str, task: str, node: str) -> str:
        options = self._call.options
        if not task:
            return ""
        found = self._call.api.get(f"/tasks/{reference(task)}")
        name = f"{self._names.service(service)}.{found.get('Slot', 0)}"
        if not options.switch("no-task-ids"):
            name += f".{task if options.switch('no-trunc') else short_id(task)}"
        place = self._names.node(node)
        padding = " " * (self._width - len(str(found.get("Slot", 0))))
        return f"{name}@{place}{padding}"


def _pair(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return unquote(key), unquote(value)
