"""``skep container``, and the short forms of its commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skep.cli import acting
from skep.cli.acting import FILTER, FORCE, FORMAT, INSPECT_FORMAT, NO_TRUNC, PRUNE_FILTER, wanted
from skep.cli.api import Refused, reference
from skep.cli.command import Call, Command, Failure
from skep.cli.container.attached import Waiter, attach_running, execute, start_attached, waiting
from skep.cli.container.flags import CREATE_FLAGS, RUN_FLAGS
from skep.cli.container.running import create, run
from skep.cli.flags import INTEGER, LIST, SWITCH, TEXT, Flag
from skep.cli.frames import copy_output
from skep.cli.service.logs import log_query
from skep.cli.show import containers
from skep.cli.show.listing import aligned
from skep.cli.syntax.quantities import show_size
from skep.cli.verbs.service import LOG_FLAGS

_CHUNK = 65536
_TOP_WIDTH = 20


def _path(name: str, rest: str = "") -> str:
    return f"/containers/{reference(name)}{rest}"


def _list(call: Call) -> None:
    options = call.options
    last = 1 if options.switch("latest") else options.get("last", -1)
    size = options.switch("size") or ".Size}}" in options.text("format")
    found = call.api.get(
        "/containers/json",
        all=options.switch("all"),
        limit=last if last > 0 else None,
        size=size,
        **wanted(options),
    )
    full = options.switch("no-trunc")
    rows = [containers.row(each, full=full) for each in found]
    acting.print_list(call, containers.table(size=options.switch("size")), rows)


def _logs(call: Call) -> None:
    found = call.api.get(_path(call.arguments[0], "/json"))
    tty = bool((found.get("Config") or {}).get("Tty"))
    query = log_query(call)
    with call.api.stream("GET", _path(found["Id"], "/logs"), **query) as answer:
        copy_output(lambda: answer.read1(_CHUNK), multiplexed=not tty)


def _start(call: Call) -> int:
    if call.options.switch("attach") or call.options.switch("interactive"):
        return start_attached(call)
    started: list[str] = []

    def start(name: str) -> None:
        call.api.post(_path(name, "/start"))
        started.append(name)

    try:
        acting.for_each(call.arguments, start)
    except Failure as failure:
        names = ", ".join(name for name in call.arguments if name not in started)
        raise Failure(f"{failure}\nError: failed to start containers: {names}") from failure
    return 0


def _posting(action: str, *query: tuple[str, str]) -> Callable[[Call], None]:
    """A command that asks the same of each container; ``query`` are options and parameters."""

    def act(call: Call) -> None:
        given = {name: call.options.get(option) for option, name in query}
        acting.for_each(
            call.arguments, lambda name: call.api.post(_path(name, f"/{action}"), **given)
        )

    return act


def _remove(call: Call) -> None:
    options = call.options
    query = {"v": options.switch("volumes"), "link": options.switch("link"),
             "force": options.switch("force")}  # fmt: skip

    def remove(name: str) -> None:
        known = name.strip("/")
        if not known:
            raise Failure("Container name cannot be empty")
        call.api.delete(_path(known), **query)

    acting.for_each(call.arguments, remove)


def _rename(call: Call) -> None:
    old, new = (word.strip() for word in call.arguments)
    if not old or not new:
        raise Failure("Error: Neither old nor new names may be empty")
    try:
        call.api.post(_path(old, "/rename"), name=new)
    except Refused as refused:
        raise Failure(f"{refused}\nError: failed to rename container named {old}") from refused


def _wait(call: Call) -> None:
    def wait(name: str) -> None:
        with waiting(call.api, name) as waiter:
            print(_code(waiter), flush=True)

    acting.for_each(call.arguments, wait, silent=True)


def _code(waiter: Waiter) -> int:
    return waiter.code()


def _top(call: Call) -> None:
    name, *words = call.arguments
    found = call.api.get(_path(name, "/top"), ps_args=" ".join(words))
    lines = ["\t".join(row) for row in (found["Titles"], *(found.get("Processes") or ()))]
    print(aligned(lines, _TOP_WIDTH), end="")


def _port(call: Call) -> None:
    name, *wanted_port = call.arguments
    found = call.api.get(_path(name, "/json"))
    known: dict[str, Any] = (found.get("NetworkSettings") or {}).get("Ports") or {}
    if not wanted_port:
        for inner in sorted(known, key=lambda each: (int(each.split("/")[0]), each)):
            for line in _outer(known[inner]):
                print(f"{inner} -> {line}")
        return
    port, _, protocol = wanted_port[0].partition("/")
    inner = f"{port}/{protocol or 'tcp'}"
    if inner not in known or known[inner] is None:
        raise Failure(f"Error: No public port '{wanted_port[0]}' published for {name}")
    print("\n".join(_outer(known[inner])))


def _outer(bindings: list[dict[str, str]] | None) -> list[str]:
    return [
        f"[{each['HostIp']}]:{each['HostPort']}" if ":" in each["HostIp"]
        else f"{each['HostIp']}:{each['HostPort']}"
        for each in bindings or ()
    ]  # fmt: skip


def _inspect(call: Call) -> int:
    import json  # noqa: PLC0415 - only here

    def fetch(name: str) -> tuple[str, Any]:
        text = call.api.raw(_path(name, "/json"), size=call.options.switch("size"))
        return text, json.loads(text)

    return acting.inspect(call, fetch)


def _prune(call: Call) -> None:
    warning = "WARNING! This will remove all stopped containers."
    if not acting.confirmed(call, f"{warning}\nAre you sure you want to continue?"):
        return
    done = call.api.post("/containers/prune", **wanted(call.options))
    removed = done.get("ContainersDeleted") or ()
    if removed:
        print("Deleted Containers:\n" + "\n".join(removed) + "\n")
    print(f"Total reclaimed space: {show_size(done.get('SpaceReclaimed', 0))}")


_KEYS = Flag("detach-keys", "Override the key sequence for detaching a container")
_MANY = "[OPTIONS] CONTAINER [CONTAINER...]"
_SIGNAL = Flag("signal", "Signal to send to the container", TEXT, "s")
_TIMEOUT = Flag("timeout", "Seconds to wait before killing the container", INTEGER, "t")
_EXEC_FLAGS = (
    Flag("detach", "Detached mode: run command in the background", SWITCH, "d"),
    _KEYS,
    Flag("env", "Set environment variables", LIST, "e"),
    Flag("env-file", "Read in a file of environment variables", LIST),
    Flag("interactive", "Keep STDIN open even if not attached", SWITCH, "i"),
    Flag("privileged", "Give extended privileges to the command", SWITCH),
    Flag("tty", "Allocate a pseudo-TTY", SWITCH, "t"),
    Flag("user", 'Username or UID (format: "<name|uid>[:<group|gid>]")', TEXT, "u"),
    Flag("workdir", "Working directory inside the container", TEXT, "w"),
)
_LIST_FLAGS = (
    Flag("all", "Show all containers (default shows just running)", SWITCH, "a"),
    FILTER,
    FORMAT,
    Flag("last", "Show n last created containers (includes all states)", INTEGER, "n"),
    Flag("latest", "Show the latest created container (includes all states)", SWITCH, "l"),
    NO_TRUNC,
    Flag("quiet", "Only display container IDs", SWITCH, "q"),
    Flag("size", "Display total file sizes", SWITCH, "s"),
)


def _many(name: str, act: Callable[[Call], int | None], summary: str, *flags: Flag) -> Command:
    """A command for one container or more."""
    usage = _MANY if flags else _MANY.removeprefix("[OPTIONS] ")
    return Command(name=name, usage=usage, run=act, least=1, most=None, summary=summary,
                   completes="container", flags=flags)  # fmt: skip


COMMANDS = (
    Command(name="attach", usage="[OPTIONS] CONTAINER", run=attach_running, least=1, most=1,
            summary="Attach local standard input, output, and error streams to a running container",
            completes="container", flags=(
                _KEYS, Flag("no-stdin", "Do not attach STDIN", SWITCH),
                Flag("sig-proxy", "Proxy all received signals to the process", SWITCH))),
    Command(name="create", usage="[OPTIONS] IMAGE [COMMAND] [ARG...]", run=create, least=1,
            most=None, summary="Create a new container", completes="image", flags=CREATE_FLAGS,
            interspersed=False),
    Command(name="exec", usage="[OPTIONS] CONTAINER COMMAND [ARG...]", run=execute, least=2,
            most=None, summary="Execute a command in a running container", completes="container",
            flags=_EXEC_FLAGS, interspersed=False),
    _many("inspect", _inspect, "Display detailed information on one or more containers",
          INSPECT_FORMAT, Flag("size", "Display total file sizes", SWITCH, "s")),
    _many("kill", _posting("kill", ("signal", "signal")), "Kill one or more running containers",
          _SIGNAL),
    Command(name="logs", usage="[OPTIONS] CONTAINER", run=_logs, least=1, most=1,
            summary="Fetch the logs of a container", completes="container",
            flags=(*LOG_FLAGS, Flag("until", "Show logs before a timestamp or relative"))),
    Command(name="ls", usage="[OPTIONS]", run=_list, summary="List containers",
            aliases=("list", "ps"), flags=_LIST_FLAGS),
    _many("pause", _posting("pause"), "Pause all processes within one or more containers"),
    Command(name="port", usage="CONTAINER [PRIVATE_PORT[/PROTO]]", run=_port, least=1, most=2,
            summary="List port mappings or a specific mapping for the container",
            completes="container"),
    Command(name="prune", usage="[OPTIONS]", run=_prune, summary="Remove all stopped containers",
            flags=(PRUNE_FILTER, FORCE)),
    Command(name="rename", usage="CONTAINER NEW_NAME", run=_rename, least=2, most=2,
            summary="Rename a container", completes="container"),
    _many("restart", _posting("restart", ("timeout", "t"), ("signal", "signal")),
          "Restart one or more containers", _SIGNAL, _TIMEOUT),
    _many("rm", _remove, "Remove one or more containers",
          Flag("force", "Force the removal of a running container (uses SIGKILL)", SWITCH, "f"),
          Flag("link", "Remove the specified link", SWITCH, "l"),
          Flag("volumes", "Remove anonymous volumes associated with the container", SWITCH, "v")),
    Command(name="run", usage="[OPTIONS] IMAGE [COMMAND] [ARG...]", run=run, least=1, most=None,
            summary="Create and run a new container from an image", completes="image",
            flags=RUN_FLAGS, interspersed=False),
    _many("start", _start, "Start one or more stopped containers",
          Flag("attach", "Attach STDOUT/STDERR and forward signals", SWITCH, "a"), _KEYS,
          Flag("interactive", "Attach container's STDIN", SWITCH, "i")),
    _many("stop", _posting("stop", ("timeout", "t"), ("signal", "signal")),
          "Stop one or more running containers", _SIGNAL, _TIMEOUT),
    Command(name="top", usage="CONTAINER [ps OPTIONS]", run=_top, least=1, most=None,
            summary="Display the running processes of a container", completes="container",
            interspersed=False),
    _many("unpause", _posting("unpause"), "Unpause all processes within one or more containers"),
    _many("wait", _wait, "Block until one or more containers stop, then print their exit codes"),
)  # fmt: skip
