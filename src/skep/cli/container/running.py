"""``run`` and ``create``."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

from skep.cli import acting
from skep.cli.api import Refused, reference
from skep.cli.command import NOT_STARTED, Call, Failure
from skep.cli.container.attached import Foreground, stay
from skep.cli.container.body import create_body
from skep.cli.container.session import Streams, check_terminal, terminal_size
from skep.cli.messages import check_messages, show_messages
from skep.cli.syntax.images import image_name, with_tag
from skep.model.errors import Invalid, Refusal

_CANNOT_EXECUTE, _NOT_FOUND = 126, 127
_NOT_FOUND_WORDS = ("executable file not found", "no such file or directory",
                    "system cannot find the file specified")  # fmt: skip
_CANNOT_WORDS = (os.strerror(errno.EACCES).lower(), os.strerror(errno.EISDIR).lower())


def run(call: Call) -> int:
    """``run``; the container's exit code, or docker's for one that did not start."""
    try:
        body = create_body(call.arguments, call.options)
        detached = call.options.switch("detach")
        if not detached:
            check_terminal(
                wants_input=bool(body.get("AttachStdin")), wants_tty=bool(body.get("Tty"))
            )
            body["HostConfig"]["ConsoleSize"] = list(terminal_size())
        identity = _created(call, body)
    except Failure:
        raise
    except Refusal as refusal:
        raise _not_started(call, refusal, NOT_STARTED) from refusal
    try:
        if detached:
            call.api.post(f"/containers/{reference(identity)}/start")
            print(identity)
            return 0
        return stay(call.api, _foreground(call, body, identity))
    except Refused as refused:
        raise _not_started(call, refused, _code(refused)) from refused


def create(call: Call) -> int:
    """``create``."""
    try:
        body = create_body(call.arguments, call.options)
    except Failure:
        raise
    except Refusal as refusal:
        raise _not_started(call, refusal, NOT_STARTED) from refusal
    print(_created(call, body))
    return 0


def _foreground(call: Call, body: dict[str, Any], identity: str) -> Foreground:
    streams = Streams(
        stdin=bool(body.get("AttachStdin")),
        stdout=bool(body.get("AttachStdout")),
        stderr=bool(body.get("AttachStderr")),
        tty=bool(body.get("Tty")),
        detach_keys=call.options.text("detach-keys"),
    )
    until = "removed" if call.options.switch("rm") else "next-exit"
    return Foreground(identity, streams, until, bool(call.options.get("sig-proxy", True)))


def _not_started(call: Call, refusal: Refusal, code: int) -> Failure:
    return Failure(f"skep: {refusal}\n\nRun 'skep {call.name} --help' for more information", code)


def _code(refused: Refused) -> int:
    words = refused.message.lower()
    if any(each in words for each in _NOT_FOUND_WORDS):
        return _NOT_FOUND
    return _CANNOT_EXECUTE if any(each in words for each in _CANNOT_WORDS) else NOT_STARTED


def _created(call: Call, body: dict[str, Any]) -> str:
    """Create the container, fetching its image if need be; its id."""
    options = call.options
    when = options.text("pull", "missing")
    if when not in ("always", "missing", "never"):
        raise Invalid(f'invalid pull option: \'{when}\': must be one of "always", "missing" or '
                      '"never"')  # fmt: skip
    cidfile = _cidfile(options.text("cidfile"))
    if when == "always":
        _fetch(call, body["Image"])
    query = {"name": options.text("name"), "platform": options.text("platform")}
    try:
        answer = call.api.post("/containers/create", body, **query)
    except Refused as refused:
        if not refused.missing or "image" not in refused.message.lower() or when != "missing":
            raise
        if not options.switch("quiet"):
            name = with_tag(image_name(body["Image"])).familiar
            print(f"Unable to find image '{name}' locally", file=sys.stderr)
        _fetch(call, body["Image"])
        answer = call.api.post("/containers/create", body, **query)
    acting.print_warnings(
        {"Warnings": [f"WARNING: {each}" for each in answer.get("Warnings") or ()]}
    )
    if cidfile:
        cidfile.write_text(answer["Id"])
    identity: str = answer["Id"]
    return identity


def _cidfile(path: str) -> Path | None:
    if path and Path(path).exists():
        raise Invalid(f"container ID file found, make sure the other container isn't running or "
                      f"delete {path}")  # fmt: skip
    return Path(path) if path else None


def _fetch(call: Call, image: str) -> None:
    name = with_tag(image_name(image))
    query = {"fromImage": name.full, "tag": name.digest or name.tag,
             "platform": call.options.text("platform")}  # fmt: skip
    with call.api.stream("POST", "/images/create", **query) as answer:
        if call.options.switch("quiet"):
            check_messages(answer)
        else:
            show_messages(answer, sys.stderr)
