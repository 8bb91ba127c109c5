"""``skep image``, and the short forms of its commands."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from skep.cli import acting
from skep.cli.acting import FILTER, FORCE, FORMAT, INSPECT_FORMAT, NO_TRUNC, PRUNE_FILTER, wanted
from skep.cli.api import reference
from skep.cli.command import Call, Command, Failure
from skep.cli.flags import SWITCH, Flag
from skep.cli.messages import check_messages, show_messages
from skep.cli.show import images
from skep.cli.syntax.images import image_name, with_tag
from skep.cli.syntax.quantities import show_size
from skep.model.errors import Invalid

_CHUNK = 1 << 20


def _list(call: Call) -> None:
    options = call.options
    query = wanted(options, **({"reference": [call.arguments[0]]} if call.arguments else {}))
    found = call.api.get("/images/json", all=options.switch("all"), **query)
    digests, full = options.switch("digests"), options.switch("no-trunc")
    named = digests or ".Digest" in options.text("format")
    rows = [row for image in found for row in images.rows(image, full=full, digests=named)]
    acting.print_list(call, images.table(digests=digests), rows)


def _inspect(call: Call) -> int:
    def fetch(name: str) -> tuple[str, Any]:
        text = call.api.raw(f"/images/{reference(name)}/json")
        return text, json.loads(text)

    return acting.inspect(call, fetch)


def _load(call: Call) -> None:
    source = call.options.text("input")
    if not source and sys.stdin.isatty():
        raise Failure("requested load from stdin, but stdin is empty")
    quiet = call.options.switch("quiet") or not sys.stdout.isatty()
    with ExitStack() as stack:
        body: BinaryIO = sys.stdin.buffer
        if source:
            body = stack.enter_context(_opened(source))
        answer = stack.enter_context(call.api.stream("POST", "/images/load", body, quiet=quiet))
        show_messages(answer)


def _opened(source: str) -> BinaryIO:
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise Failure(f"open {source}: {(error.strerror or '').lower()}") from error


def _pull(call: Call) -> None:
    name = image_name(call.arguments[0])
    every, quiet = call.options.switch("all-tags"), call.options.switch("quiet")
    if every and (name.tag or name.digest):
        raise Failure("tag can't be used with --all-tags/-a")
    wanted_name = name if every else with_tag(name)
    if not every and not name.tag and not name.digest and not quiet:
        print("Using default tag: latest")
    pull(call, wanted_name.full, wanted_name.digest or wanted_name.tag, quiet=quiet)
    print(f"{wanted_name.full}:{wanted_name.tag}" if wanted_name.tag else wanted_name.full)


def pull(call: Call, name: str, tag: str, *, quiet: bool) -> None:
    """Let the daemon fetch an image, showing how it goes unless ``quiet``."""
    query = {"fromImage": name, "tag": tag, "platform": call.options.text("platform")}
    with call.api.stream("POST", "/images/create", **query) as answer:
        if quiet:
            check_messages(answer)
        else:
            show_messages(answer)


def _tag(call: Call) -> None:
    source, target = call.arguments
    try:
        name = image_name(target)
    except Invalid as fault:
        raise Failure(f"Error parsing reference: {json.dumps(target)} is not a valid "
                      f"repository/tag: {fault}") from fault  # fmt: skip
    if name.digest:
        raise Failure("refusing to create a tag with a digest reference")
    path = f"/images/{reference(source)}/tag"
    call.api.post(path, repo=name.full, tag=with_tag(name).tag)


def _remove(call: Call) -> None:
    options = call.options
    query = {"force": options.switch("force"), "noprune": options.switch("no-prune")}

    def remove(name: str) -> None:
        for done in call.api.delete(f"/images/{reference(name)}", **query) or ():
            if done.get("Deleted"):
                print(f"Deleted: {done['Deleted']}")
            else:
                print(f"Untagged: {done['Untagged']}")

    acting.for_each(call.arguments, remove, silent=True)


def _save(call: Call) -> None:
    target = call.options.text("output")
    if not target and sys.stdout.isatty():
        raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    query = "&".join(f"names={reference(name)}" for name in call.arguments)
    with ExitStack() as stack:
        answer = stack.enter_context(call.api.stream("GET", f"/images/get?{query}"))
        sink: BinaryIO = sys.stdout.buffer
        if target:
            sink = stack.enter_context(Path(f"{target}.partial").open("wb"))
        while chunk := answer.read(_CHUNK):
            sink.write(chunk)
        if target:
            os.replace(f"{target}.partial", target)


def _prune(call: Call) -> None:
    every = call.options.switch("all")
    which = "all images without at least one container associated to them" if every else (
        "all dangling images")  # fmt: skip
    warning = f"WARNING! This will remove {which}."
    if not acting.confirmed(call, f"{warning}\nAre you sure you want to continue?"):
        return
    query = wanted(call.options, dangling=["false" if every else "true"])
    done = call.api.post("/images/prune", **query)
    removed = done.get("ImagesDeleted") or ()
    if removed:
        print("Deleted Images:")
        for each in removed:
            known = ("untagged", "Untagged") if each.get("Untagged") else ("deleted", "Deleted")
            print(f"{known[0]}: {each[known[1]]}")
        print()
    print(f"Total reclaimed space: {show_size(done.get('SpaceReclaimed', 0))}")


_PLATFORM = Flag("platform", "Set platform if server is multi-platform capable")
_QUIET = Flag("quiet", "Suppress verbose output", SWITCH, "q")
COMMANDS = (
    Command(name="inspect", usage="[OPTIONS] IMAGE [IMAGE...]", run=_inspect, least=1, most=None,
            summary="Display detailed information on one or more images", completes="image",
            flags=(INSPECT_FORMAT,)),
    Command(name="load", usage="[OPTIONS]", run=_load,
            summary="Load an image from a tar archive or STDIN", flags=(
                Flag("input", "Read from tar archive file, instead of STDIN", short="i"),
                Flag("quiet", "Suppress the load output", SWITCH, "q"))),
    Command(name="ls", usage="[OPTIONS] [REPOSITORY[:TAG]]", run=_list, most=1,
            summary="List images", aliases=("list",), completes="image", flags=(
                Flag("all", "Show all images (default hides intermediate images)", SWITCH, "a"),
                Flag("digests", "Show digests", SWITCH), FILTER, FORMAT, NO_TRUNC,
                Flag("quiet", "Only show image IDs", SWITCH, "q"))),
    Command(name="prune", usage="[OPTIONS]", run=_prune, summary="Remove unused images", flags=(
        Flag("all", "Remove all unused images, not just dangling ones", SWITCH, "a"),
        PRUNE_FILTER, FORCE)),
    Command(name="pull", usage="[OPTIONS] NAME[:TAG|@DIGEST]", run=_pull, least=1, most=1,
            summary="Download an image from a registry", flags=(
                Flag("all-tags", "Download all tagged images in the repository", SWITCH, "a"),
                _PLATFORM, _QUIET)),
    Command(name="rm", usage="[OPTIONS] IMAGE [IMAGE...]", run=_remove, least=1, most=None,
            summary="Remove one or more images", aliases=("remove",), completes="image", flags=(
                Flag("force", "Force removal of the image", SWITCH, "f"),
                Flag("no-prune", "Do not delete untagged parents", SWITCH))),
    Command(name="save", usage="[OPTIONS] IMAGE [IMAGE...]", run=_save, least=1, most=None,
            summary="Save one or more images to a tar archive", completes="image",
            flags=(Flag("output", "Write to a file, instead of STDOUT", short="o"),)),
    Command(name="tag", usage="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", run=_tag, least=2, most=2,
            summary="Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", completes="image"),
)  # fmt: skip
