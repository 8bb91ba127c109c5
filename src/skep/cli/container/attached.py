"""Containers in the foreground: ``run``, ``start -a``, ``attach``, ``exec``; their exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import msgspec

from skep.cli.api import Api, Hijacked, reference
from skep.cli.command import Call, Failure
from skep.cli.container.session import (
    Streams,
    check_terminal,
    converse,
    following_size,
    forwarding_signals,
    terminal_size,
)
from skep.cli.syntax.pairs import read_variables, resolved


def attach(api: Api, container: str, streams: Streams) -> Hijacked:
    """Take the container's streams; it need not run yet."""
    return api.hijack(
        f"/containers/{reference(container)}/attach",
        stream=True,
        stdin=streams.stdin,
        stdout=streams.stdout,
        stderr=streams.stderr,
        detachKeys=streams.detach_keys,
    )


@contextmanager
def waiting(api: Api, container: str, condition: str = "") -> Iterator[Waiter]:
    """Wait for a container's end, from now on: asked before it is started, so that even the
    shortest life is seen."""
    path = f"/containers/{reference(container)}/wait"
    with api.stream("POST", path, condition=condition) as answer:
        yield Waiter(answer)


class Waiter:
    """Somebody who waits for a container."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def code(self) -> int:
        """Its exit code, when it has ended. Raises `Failure` if that cannot be told."""
        found = json.loads(self._answer.read() or b"{}")
        fault = (found.get("Error") or {}).get("Message")
        if fault:
            raise Failure(str(fault))
        return int(found.get("StatusCode", 0))


class Foreground(msgspec.Struct, frozen=True):
    """A container and how we are with it. ``until`` is the condition that ends the waiting."""

    container: str
    streams: Streams
    until: str = ""
    forward: bool = True


def stay(api: Api, how: Foreground) -> int:
    """Start a container and stay with it until it ends; its exit code, 0 if we left before."""
    streams = how.streams
    stream = attach(api, how.container, streams)
    try:
        with waiting(api, how.container, how.until) as waiter, ExitStack() as stack:
            if how.forward and not streams.tty:
                stack.enter_context(forwarding_signals(api, how.container))
            api.post(f"/containers/{reference(how.container)}/start")
            if streams.tty:
                path = f"/containers/{reference(how.container)}/resize"
                stack.enter_context(following_size(api, path))
            return waiter.code() if converse(stream, streams) else 0
    finally:
        stream.close()


def attach_running(call: Call) -> int:
    """``attach``; the container's exit code."""
    name = call.arguments[0]
    found = call.api.get(f"/containers/{reference(name)}/json")
    state, config = found.get("State", {}), found.get("Config", {})
    for member, complaint in (
        ("Paused", "cannot attach to a paused container, unpause it first"),
        ("Restarting", "cannot attach to a restarting container, wait until it is running"),
    ):
        if state.get(member):
            raise Failure(complaint)
    if not state.get("Running"):
        raise Failure("cannot attach to a stopped container, start it first")
    streams = Streams(
        stdin=not call.options.switch("no-stdin") and bool(config.get("OpenStdin")),
        tty=bool(config.get("Tty")),
        detach_keys=call.options.text("detach-keys"),
    )
    check_terminal(wants_input=streams.stdin, wants_tty=streams.tty)
    return _attached(call, name, streams)


def _attached(call: Call, name: str, streams: Streams) -> int:
    with waiting(call.api, name) as waiter, ExitStack() as stack:
        stream = attach(call.api, name, streams)
        stack.callback(stream.close)
        if call.options.get("sig-proxy", True) and not streams.tty:
            stack.enter_context(forwarding_signals(call.api, name))
        if streams.tty:
            path = f"/containers/{reference(name)}/resize"
            stack.enter_context(following_size(call.api, path))
        if not converse(stream, streams):
            raise Failure("read escape sequence")
        return waiter.code()


def execute(call: Call) -> int:
    """``exec``; the command's exit code."""
    options, (name, *command) = call.options, call.arguments
    call.api.get(f"/containers/{reference(name)}/json")
    body = exec_body(call, command)
    detached = options.switch("detach")
    if not detached:
        check_terminal(wants_input=body["AttachStdin"], wants_tty=body["Tty"])
    identity = call.api.post(f"/containers/{reference(name)}/exec", body).get("Id")
    if not identity:
        raise Failure("exec ID empty")
    path = f"/exec/{reference(identity)}"
    start = {"Detach": detached, "Tty": body["Tty"]}
    if body["Tty"]:
        start["ConsoleSize"] = body["ConsoleSize"]
    if detached:
        call.api.post(f"{path}/start", start)
        return 0
    streams = Streams(stdin=body["AttachStdin"], tty=body["Tty"], detach_keys=body["DetachKeys"])
    stream = call.api.hijack(f"{path}/start", start)
    try:
        with ExitStack() as stack:
            if body["Tty"]:
                stack.enter_context(following_size(call.api, f"{path}/resize"))
            if not converse(stream, streams):
                raise Failure("read escape sequence")
    finally:
        stream.close()
    return int(call.api.get(f"{path}/json").get("ExitCode") or 0)


def exec_body(call: Call, command: list[str]) -> dict[str, Any]:
    """The body of ``POST /containers/{id}/exec``."""
    options = call.options
    files = [word for path in options.all("env-file")
             for word in read_variables(path, os.environ.get)]  # fmt: skip
    attached = not options.switch("detach")
    body: dict[str, Any] = {
        "User": options.text("user"),
        "Privileged": options.switch("privileged"),
        "Tty": options.switch("tty"),
        "AttachStdin": attached and options.switch("interactive"),
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Detach": not attached,
        "DetachKeys": options.text("detach-keys"),
        "Env": [*files, *resolved(options.all("env"), os.environ.get)],
        "WorkingDir": options.text("workdir"),
        "Cmd": command,
    }
    if body["Tty"]:
        body["ConsoleSize"] = list(terminal_size())
    return body


def start_attached(call: Call) -> int:
    """``start`` with ``--attach`` or ``--interactive``; the container's exit code."""
    if len(call.arguments) > 1:
        raise Failure("you cannot start and attach multiple containers at once")
    found: Mapping[str, Any] = call.api.get(f"/containers/{reference(call.arguments[0])}/json")
    config = found.get("Config", {})
    streams = Streams(
        stdin=call.options.switch("interactive") and bool(config.get("OpenStdin")),
        tty=bool(config.get("Tty")),
        detach_keys=call.options.text("detach-keys"),
    )
    removed = (found.get("HostConfig") or {}).get("AutoRemove")
    until = "removed" if removed else "next-exit"
    return stay(call.api, Foreground(found["Id"], streams, until))
