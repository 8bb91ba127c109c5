"""This host's identity in a swarm, on disk: one file, replaced whole or not at all.

Key, certificate and CA are kept in one file rather than four, because they only make sense
together: a crash amid a renewal must never leave the new certificate with the old key.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from skep.model.errors import Broken, Invalid
from skep.wire.authority import Subject, check_issued, subject_of
from skep.wire.tls import Credentials

FILE = "identity.json"
_HALF = FILE + ".new"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a host must not forget. Addresses are those of `model.cluster.Node`.

    ``address_link`` and ``vtep_link`` are the links whose addresses these are, if they are to be
    followed (`advertise.Reach`). ``listen_address`` is "ip:port" that a manager serves agents on.
    ``managers`` maps node ids to "host:port", as last heard of.
    """

    credentials: Credentials
    address: str = ""
    vtep: str = ""
    address_link: str = ""
    vtep_link: str = ""
    listen_address: str = ""
    managers: dict[str, str] = {}

    @property
    def subject(self) -> Subject:
        """Who this host is: node id, role and cluster id, from the certificate."""
        return subject_of(self.credentials.certificate)


def load(directory: Path) -> Identity | None:
    """The identity kept in ``directory``, None if there is none. What an interrupted `save` left is
    removed. Raises `Broken` if it is there and damaged, or cannot be read."""
    path = directory / FILE
    try:
        with contextlib.suppress(OSError):  # a disk may be read-only, and there may be none
            (directory / _HALF).unlink()
        found = msgspec.json.decode(path.read_bytes(), type=Identity)
        credentials = found.credentials
        check_issued(credentials.certificate, credentials.key, credentials.ca)
        subject_of(credentials.certificate)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot("read", path, error) from error
    except (msgspec.MsgspecError, ValueError, Invalid) as error:
        raise Broken(
            f"this host's swarm identity {path} is damaged ({error}); "
            "restore it, or remove it and join the swarm again"
        ) from error
    return found


def save(directory: Path, identity: Identity) -> None:
    """Replace the identity in ``directory`` (made if absent), durably. Raises `Broken`."""
    path, half = directory / FILE, directory / _HALF
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        half.unlink(missing_ok=True)
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(identity)))
            file.flush()
            os.fsync(descriptor)
        half.rename(path)
        _sync(directory)
    except OSError as error:
        raise _cannot("write", path, error) from error


def remove(directory: Path) -> None:
    """Forget the identity; no error if there is none. Raises `Broken`."""
    try:
        for name in (FILE, _HALF):
            (directory / name).unlink(missing_ok=True)
        if directory.exists():
            _sync(directory)
    except OSError as error:
        raise _cannot("remove", directory / FILE, error) from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot(what: str, path: Path, error: OSError) -> Broken:
    words = os.strerror(error.errno).lower() if error.errno else str(error)
    return Broken(f"cannot {what} this host's swarm identity {path}: {words}")
