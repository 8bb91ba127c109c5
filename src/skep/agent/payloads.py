"""Secrets and configs of tasks as files: in memory, made before the container, gone after it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from skep.kernel.memory import ensure_tmpfs
from skep.model.assignment import Payload
from skep.model.cluster import Task
from skep.model.container import LAST_ID, ConfigReference, FileTarget, SecretReference
from skep.model.errors import Broken, Invalid, Unavailable

Json = dict[str, Any]

SECRETS = "/run/secrets"

log = structlog.get_logger("skep.tasks")


class Payloads:
    """The files of one host's tasks, below one directory on a tmpfs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def mounts(
        self, task: Task, secrets: Mapping[str, Payload], configs: Mapping[str, Payload]
    ) -> list[Json]:
        """Write the task's files and answer the mounts that bring them into its container.

        Raises `Unavailable` if the cluster has not sent one of them, `Broken` if a file cannot be
        written.
        """
        spec = task.spec.container_spec
        assert spec is not None, "a service's task has a container"
        if not spec.secrets and not spec.configs:
            return []
        try:
            ensure_tmpfs(self._directory)
            home = self._directory / task.id
            home.mkdir(mode=0o700, exist_ok=True)
            made = [
                *self._placed(home, "secret", spec.secrets, secrets),
                *self._placed(home, "config", spec.configs, configs),
            ]
        except OSError as error:
            raise Broken(f"cannot write the task's secrets: {error.strerror or error}") from error
        return made

    def remove(self, task_id: str) -> None:
        """The task's container is gone: so are its files."""
        try:
            shutil.rmtree(self._directory / task_id)
        except FileNotFoundError:
            return
        except OSError as error:
            # Tried again with the next assignment; the files are gone with the host at the latest.
            log.error("secrets of a task not removed", task=task_id, why=error.strerror)

    def keep_only(self, task_ids: Iterable[str]) -> None:
        """Remove what belongs to no task any more."""
        wanted = set(task_ids)
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                if path.name not in wanted:
                    self.remove(path.name)

    def _placed(
        self,
        home: Path,
        kind: str,
        references: Iterable[SecretReference | ConfigReference],
        known: Mapping[str, Payload],
    ) -> Iterable[Json]:
        for number, reference in enumerate(references):
            payload_id, name, target = parts(reference)
            payload = known.get(payload_id)
            if payload is None:
                raise Unavailable(f"{kind} {name} has not reached this host yet")
            path = home / f"{kind}-{number}"
            write_owned(path, payload.data, target)
            yield {
                "Type": "bind",
                "Source": str(path),
                "Target": place(kind, target.name or name),
                "ReadOnly": True,
            }


def parts(reference: SecretReference | ConfigReference) -> tuple[str, str, FileTarget]:
    """Id, name and target of a reference of either kind."""
    target = reference.file or FileTarget()
    if isinstance(reference, SecretReference):
        return reference.secret_id, reference.secret_name, target
    return reference.config_id, reference.config_name, target


def place(kind: str, name: str) -> str:
    """Where the file appears in the container: secrets below /run/secrets, configs below /."""
    if name.startswith("/"):
        return name
    return f"{SECRETS}/{name}" if kind == "secret" else f"/{name}"


def write_owned(path: Path, data: bytes, target: FileTarget) -> None:
    """A file with the owner and mode that its target asks for. Raises `Invalid`, `OSError`."""
    try:
        owner, group = int(target.uid or 0), int(target.gid or 0)
    except ValueError as error:
        raise Invalid(f"owner {target.uid}:{target.gid} is not a pair of numbers") from error
    if not (0 <= owner <= LAST_ID and 0 <= group <= LAST_ID):
        raise Invalid(f"owner {owner}:{group} is not between 0 and {LAST_ID}")
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        os.fchown(file.fileno(), owner, group)
        os.fchmod(file.fileno(), target.mode & 0o777)
