"""The files from which Podman's hook (`skep.engine.amending`) amends containers."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from skep.engine import amending
from skep.model.errors import Broken

Json = dict[str, Any]

HOOK = "skep.json"


class Extras:
    """A folder with a file for each container that needs amending, and beside it ``hooks``, the
    folder where Podman looks for hooks: it has ours only while some container needs it, so that
    others start without it."""

    def __init__(self, folder: Path, hooks: Path) -> None:
        self._folder = folder
        self._hooks = hooks

    def put(self, container_id: str, more: Json) -> None:
        """Have a container amended at each of its starts. Raises `Broken` if that cannot be
        written."""
        try:
            for folder in (self._folder, self._hooks):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (self._folder / f"{container_id}.json").write_text(json.dumps(more))
            (self._hooks / HOOK).write_text(json.dumps(hook(self._folder)))
        except OSError as error:
            raise Broken(f"cannot write {error.filename}: {error.strerror}") from error

    def drop(self, container_id: str) -> None:
        """A container is gone; with the last one, the hook. A file that stays is dropped later."""
        with contextlib.suppress(OSError):
            (self._folder / f"{container_id}.json").unlink(missing_ok=True)
            if not self.ids():
                (self._hooks / HOOK).unlink(missing_ok=True)

    def ids(self) -> set[str]:
        """The containers that have such a file."""
        return {path.stem for path in self._folder.glob("*.json")}

    def __bool__(self) -> bool:
        return (self._hooks / HOOK).exists()


def hook(folder: Path) -> Json:
    """The hook's description, as Podman reads it (oci-hooks(5))."""
    program = [sys.executable, "-I", "-S", str(amending.__file__), str(folder)]
    return {
        "version": "1.0.0",
        "hook": {"path": program[0], "args": program},
        "when": {"always": True},
        "stages": ["precreate"],
    }
