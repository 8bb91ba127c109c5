"""What of a create request lies in files of this host: seccomp profiles, sources of mounts."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skep.model.errors import Broken, Invalid

Json = dict[str, Any]

PROFILE = "seccomp={"
"""How a seccomp profile begins that clients send in full. Podman takes the path of a file."""


def check_sources(body: Json) -> None:
    """Raises `Invalid`, in Docker's words, if a mount's folder is not there. Podman makes it."""
    for mount in (body.get("HostConfig") or {}).get("Mounts") or ():
        made = (mount.get("BindOptions") or {}).get("CreateMountpoint")
        source = mount.get("Source") or ""
        if mount.get("Type") == "bind" and not made and not os.path.exists(source):
            raise Invalid(
                f'invalid mount config for type "bind": bind source path does not exist: {source}'
            )


@contextlib.contextmanager
def with_profiles(body: Json) -> Iterator[Json]:
    """The create request with its seccomp profile in a file, as long as it lasts: the engine keeps
    what is in it. Raises `Broken` if there is no room for it."""
    host = body.get("HostConfig") or {}
    asked = [str(option) for option in host.get("SecurityOpt") or ()]
    if not any(option.startswith(PROFILE) for option in asked):
        yield body
        return
    with contextlib.ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            options = [_in_file(folder / "profile.json", option) for option in asked]
        except OSError as error:
            raise Broken(
                f"cannot write the seccomp profile {error.filename}: {error.strerror}"
            ) from error
        yield {**body, "HostConfig": {**host, "SecurityOpt": options}}


def _in_file(path: Path, option: str) -> str:
    """The option; of a profile the name of the file that it was put in."""
    if not option.startswith(PROFILE):
        return option
    path.write_text(option.partition("=")[2])
    return f"seccomp={path}"
