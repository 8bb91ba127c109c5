"""Being attached to a container: its streams and ours, the terminal, signals."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any

import msgspec

from skep.cli.api import Api, Hijacked, reference
from skep.cli.command import Failure
from skep.cli.container.escape import DEFAULT, Escape, key_bytes
from skep.cli.frames import copy_output
from skep.model.errors import Refusal

_CHUNK = 65536
# Not forwarded: those of the terminal and of children, and what ends us anyway.
_KEPT = {signal.SIGCHLD, signal.SIGWINCH, signal.SIGPIPE, signal.SIGURG, signal.SIGKILL,
         signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
         signal.SIGCONT}  # fmt: skip


def check_terminal(*, wants_input: bool, wants_tty: bool) -> None:
    """Raises `Failure` if a terminal is wanted for input that is none."""
    if wants_input and wants_tty and not sys.stdin.isatty():
        raise Failure("the input device is not a TTY")


def terminal_size() -> tuple[int, int]:
    """Rows and columns of our terminal; 0, 0 if there is none."""
    if not sys.stdout.isatty():
        return 0, 0
    columns, rows = shutil.get_terminal_size((0, 0))
    return rows, columns


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """Which streams of a container are ours, whether it has a terminal, and the keys to leave it
    ("" for docker's)."""

    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False
    detach_keys: str = ""


def converse(stream: Hijacked, streams: Streams) -> bool:
    """Copy our input to the stream and its output to ours, until the output ends (True) or the keys
    to leave are typed (False). Raises `Invalid` if those keys are none."""
    escape = Escape(key_bytes(streams.detach_keys or DEFAULT)) if streams.tty else None
    with ExitStack() as stack:
        if streams.stdin and streams.tty and sys.stdin.isatty():
            stack.enter_context(_raw_terminal())
        if streams.stdin:
            # A daemon: nothing can end its reading when the output has ended.
            threading.Thread(target=_copy_input, args=(stream, escape), daemon=True).start()
        copy_output(stream.read, multiplexed=stream.multiplexed and not streams.tty)
    return escape is None or not escape.typed


def _copy_input(stream: Hijacked, escape: Escape | None) -> None:
    with suppress(OSError):
        while piece := os.read(sys.stdin.fileno(), _CHUNK):
            stream.write(escape.feed(piece) if escape else piece)
            if escape and escape.typed:
                stream.leave()
                return
        stream.end_input()


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the container, while this lasts."""
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    tty.setraw(file)
    try:
        yield
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)


@contextmanager
def following_size(api: Api, path: str) -> Iterator[None]:
    """Tell the other side (``path`` of its resize) how large our terminal is, now and later."""

    def tell(*_: Any) -> None:
        rows, columns = terminal_size()
        if rows and columns:
            # It may have ended; a terminal of the wrong size is no reason to fail either.
            with suppress(Refusal):
                api.post(path, h=rows, w=columns)

    before = signal.signal(signal.SIGWINCH, tell)
    try:
        tell()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextmanager
def forwarding_signals(api: Api, container: str) -> Iterator[None]:
    """Signals that we get go to the container."""

    def forward(number: int, _: FrameType | None) -> None:
        with suppress(Refusal):
            api.post(f"/containers/{reference(container)}/kill", signal=_name(number))

    before: dict[int, Any] = {}
    for number in map(int, signal.valid_signals() - _KEPT):
        # Some belong to the system's threads, and cannot be had.
        with suppress(OSError, ValueError):
            before[number] = signal.signal(number, forward)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)
