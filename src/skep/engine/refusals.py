"""What an engine's error answer means, in the sentences and statuses that Docker's users know.

Podman says the same as Docker in other words and sometimes with another status; clients (the
docker CLI among them) look at both. This is the one place where they are translated. Pure.
"""

from __future__ import annotations

import json
import re

from skep.engine.reference import familiar, with_tag
from skep.model.errors import (
    Broken,
    Clash,
    Forbidden,
    Invalid,
    Missing,
    Refusal,
    Unavailable,
    Unsupported,
)

BY_STATUS: dict[int, type[Refusal]] = {
    kind.status: kind for kind in (Invalid, Forbidden, Missing, Clash, Unsupported, Unavailable)
}

BEFORE = re.compile(r"^preparing container [0-9a-f]{64} for attach: ")
"""What Podman says before the reason why a container cannot begin."""

UNSAID = "The container engine answered with status"
"""What is said of an error that the engine gives no words for."""

NO_IMAGE = "No such image: {image}"

SENTENCES: tuple[tuple[re.Pattern[str], type[Refusal], str], ...] = (
    (re.compile(r"no such image: (?P<image>\S+?): image not known"), Missing, NO_IMAGE),
    (re.compile(r"failed to find image (?P<image>\S+?): "), Missing, NO_IMAGE),
    (re.compile(r"(?P<image>\S+): image not known"), Missing, NO_IMAGE),
    (
        re.compile(r'no container with name or ID "(?P<id>[^"]+)" found'),
        Missing,
        "No such container: {id}",
    ),
    (
        # One that goes while it is looked at.
        re.compile(r"container (?P<id>\S+) does not exist in database"),
        Missing,
        "No such container: {id}",
    ),
    (re.compile(r"^no such container$"), Missing, "No such container: {subject}"),
    (
        re.compile(r'no exec session with ID "?(?P<id>[^" ]+?)"? found'),
        Missing,
        "No such exec instance: {id}",
    ),
    (
        re.compile(r'container name "/?(?P<name>[^"]+)" is already in use by (?P<id>[0-9a-f]+)'),
        Clash,
        'Conflict. The container name "/{name}" is already in use by container "{id}". '
        "You have to remove (or rename) that container to be able to reuse that name.",
    ),
    (
        re.compile(r"cannot remove container \S+ as it is (running|paused)"),
        Clash,
        'cannot remove container "{subject}": container is running: '
        "stop the container before removing or force remove",
    ),
    (
        re.compile(r"can only create exec sessions on running containers"),
        Clash,
        "container {subject} is not running",
    ),
    (
        re.compile(r"can only kill running containers\. (?P<id>[0-9a-f]+)"),
        Clash,
        "cannot kill container: {subject}: container {id} is not running",
    ),
    (
        re.compile(r"container-init binary not found on the host"),
        Broken,
        "--init needs catatonit on every host: apt-get install catatonit",
    ),
    (
        re.compile(
            r'failed to write "(?P<value>.*?)": write \S+/(?P<file>\w+\.[\w.]+): (?P<why>[\w ]+)'
        ),
        Broken,
        'this kernel does not take "{value}" as {file} of a container: {why}; leave its flag away, '
        "or give it another value",
    ),
    (
        re.compile(r"failed to initialize journal"),
        Broken,
        "--log-driver journald needs systemd's journal on the host: use json-file",
    ),
    (
        re.compile(r"--storage-opt is supported only for overlay over xfs with 'pquota'"),
        Invalid,
        "--storage-opt is supported only for overlay over xfs with 'pquota' mount option: keep "
        "the engine's files on such a file system, or leave it away",
    ),
    (
        re.compile(r"cannot set hostname when running in the host UTS namespace"),
        Invalid,
        "conflicting options: hostname and the UTS mode",
    ),
    (re.compile(r"(?P<said>invalid --security-opt .*)"), Invalid, "{said}"),
    (
        re.compile(r"payload does not match any of the supported image formats"),
        Invalid,
        "this is no archive of images: docker save and docker buildx make them",
    ),
    (
        re.compile(r"archive/tar: |unexpected EOF"),
        Invalid,
        "this is no tar archive, or not all of one",
    ),
    (
        re.compile(r"(?P<said>invalid reference format|repository name must be lowercase)"),
        Invalid,
        "{said}",
    ),
    (
        re.compile(r"uses volume plugin (?P<driver>\S+) but it could not be retrieved"),
        Missing,
        'error looking up volume plugin {driver}: plugin "{driver}" not found',
    ),
    (re.compile(r"(?P<said>(runc: )?runc create failed: .*)", re.DOTALL), Invalid, "{said}"),
    (re.compile(r"(?P<said>unable to find (user|group) .*)"), Invalid, "{said}"),
    (
        re.compile(
            r"^(container create: )?(running container create option: |fill out specgen: )?"
            r"(?P<said>.*): invalid (argument|configuration)$"
        ),
        Invalid,
        "{said}",
    ),
    (re.compile(r"^fill out specgen: (?P<said>.*)"), Invalid, "{said}"),
    (re.compile(r"(?P<said>json: cannot unmarshal .*)"), Invalid, "invalid JSON: {said}"),
    (re.compile(r"failed to parse parameters for .*: schema: (?P<said>.*)"), Invalid, "{said}"),
    (
        re.compile(r"is not running, can't pause"),
        Clash,
        "Container {subject} is not running",
    ),
    (
        re.compile(r"cannot create exec session as container \S+ is paused"),
        Clash,
        "Container {subject} is paused, unpause the container before exec",
    ),
    (re.compile(r"is already paused"), Clash, "Container {subject} is already paused"),
    (re.compile(r"is not paused, can't unpause"), Clash, "Container {subject} is not paused"),
    (
        re.compile(
            r"volume (?P<name>\S+) is being used by the following container\(s\): (?P<ids>.+):"
        ),
        Clash,
        "remove {name}: volume is in use - [{ids}]",
    ),
    (
        re.compile(r"image (?P<name>\S+) is in use: image used by (?P<id>[0-9a-f]{12})"),
        Clash,
        'conflict: unable to remove repository reference "{name}" (must force) - container {id} '
        "is using its referenced image",
    ),
    (re.compile(r"container state improper"), Clash, "container {subject} is in no state for that"),
)


def refusal(status: int, payload: bytes, subject: str = "") -> Refusal:
    """The refusal that an answer with an error ``status`` and this body stands for.

    ``subject`` is the container, image or volume that the request named.
    """
    said = message_of(payload) or f"{UNSAID} {status}."
    for pattern, kind, sentence in SENTENCES:
        found = pattern.search(said)
        if found:
            parts = {"subject": subject, **found.groupdict()}
            if "image" in parts:
                parts["image"] = with_tag(familiar(parts["image"]))
            return kind(sentence.format(**parts))
    return BY_STATUS.get(status, Broken)(BEFORE.sub("", said))


def message_of(payload: bytes) -> str:
    """The sentence in an error body: its ``message``, or the body itself if it is plain text."""
    text = payload.decode(errors="replace").strip()
    try:
        decoded = json.loads(text)
    except ValueError:
        return text
    return str(decoded.get("message", "")) if isinstance(decoded, dict) else text


def error_body(refused: Refusal) -> bytes:
    """The refusal as Docker's error body."""
    return json.dumps({"message": str(refused)}).encode()
