"""Placeholders in a service's host name, environment and mounts: ``{{.Node.Hostname}}`` and such.

Docker's users know them from Go's text/template, of which this understands what they are for: a
field, ``index .Service.Labels "key"``, ``join "separator" .A .B``, quoted text, and the trim marks
``{{-`` and ``-}}``. They are checked when a service is created or updated, and filled in when a
task is handed to its node. Source: swarmkit template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from skep.cluster import rpc
from skep.model.cluster import Node, Service, Task
from skep.model.container import ContainerSpec, Mount, VolumeOptions
from skep.model.errors import Invalid
from skep.model.spec import ServiceSpec, TaskSpec

_ACTION = re.compile(r"(?:\s*\{\{-\s|\{\{)(.*?)(?:\s-\}\}\s*|\}\})", re.DOTALL)
_WORD = re.compile(r'\s*("(?:[^"\\]|\\.)*"|`[^`]*`|[^\s"`]+)')

LABELS = ".Service.Labels"
OPENING = "{{"


class Values(msgspec.Struct, frozen=True, kw_only=True):
    """What placeholders stand for: fields by their path (``.Task.ID``), the service's labels.

    ``missing`` stands for a label that the service does not have; None makes that an error.
    """

    fields: Mapping[str, str]
    labels: Mapping[str, str] = {}
    missing: str | None = None


def values_of(task: Task, service: Service | None, node: Node) -> Values:
    """What a task's placeholders stand for on its node. The labels are the service's present ones.

    ``service`` is None once it was removed: then nothing is known of its labels any more.
    """
    platform = node.description.platform
    return Values(
        fields={
            ".Service.ID": task.service_id,
            ".Service.Name": task.service_name,
            ".Node.ID": node.id,
            ".Node.Hostname": node.description.hostname,
            ".Node.Platform.Architecture": platform.architecture,
            ".Node.Platform.OS": platform.os,
            ".Task.ID": task.id,
            ".Task.Name": task.name,
            ".Task.Slot": str(task.slot) if task.slot else node.id,
        },
        labels=service.spec.labels if service else {},
        missing="",
    )


def expand(text: str, values: Values) -> str:
    """The text with all placeholders filled in. Raises `Invalid` for what cannot be filled in."""
    if OPENING not in text:
        return text
    expanded = _ACTION.sub(lambda found: _evaluate(found[1].strip(), values), text)
    if OPENING in _ACTION.sub("", text):
        raise rpc.invalid(f"template {json.dumps(text)}: unclosed action")
    return expanded


def _evaluate(action: str, values: Values) -> str:
    words = [found[1] for found in _WORD.finditer(action)]
    match words:
        case ["index", path, key] if path == LABELS:
            return values.labels.get(_operand(action, key, values), "")
        case ["join", separator, *parts] if parts:
            joint = _operand(action, separator, values)
            return joint.join(_operand(action, part, values) for part in parts)
        case [operand]:
            return _operand(action, operand, values)
    raise rpc.invalid(
        f"template {{{{{action}}}}}: only a field, "
        f'index {LABELS} "key" and join "separator" fields are supported'
    )


def _operand(action: str, word: str, values: Values) -> str:
    if word.startswith("`"):
        return word[1:-1]
    if word.startswith('"'):
        return _unquoted(action, word)
    if word in values.fields:
        return values.fields[word]
    prefix, _, key = word.partition(f"{LABELS}.")
    if not prefix and key:
        found = values.labels.get(key, values.missing)
        if found is None:
            raise rpc.invalid(f'template {{{{{action}}}}}: map has no entry for key "{key}"')
        return found
    raise rpc.invalid(f"template {{{{{action}}}}}: can't evaluate field {word}")


def _unquoted(action: str, word: str) -> str:
    try:
        return str(json.loads(word))
    except ValueError:
        raise rpc.invalid(f"template {{{{{action}}}}}: {word} is not a string") from None


# --- specs


def expanded(task: Task, service: Service | None, node: Node) -> TaskSpec:
    """The task's spec for its node, with all placeholders filled in."""
    container = task.spec.container_spec
    if container is None or not has_placeholders(container):
        return task.spec
    filled = _fill(container, values_of(task, service, node))
    return replace(task.spec, container_spec=filled)


def sample(spec: ServiceSpec, container: ContainerSpec) -> ContainerSpec:
    """The container of a task of the service with placeholders filled in by stand-ins.

    Raises `Invalid` for a placeholder that cannot be filled in, saying where it is.
    """
    if not has_placeholders(container):
        return container
    fields = {
        ".Service.ID": "serviceid",
        ".Service.Name": spec.name,
        ".Node.ID": "nodeid",
        ".Node.Hostname": "nodeHostname",
        ".Node.Platform.Architecture": "architecture",
        ".Node.Platform.OS": "os",
        ".Task.ID": "taskid",
        ".Task.Name": f"{spec.name}.1.taskid",
        ".Task.Slot": "1",
    }
    return _fill(container, Values(fields=fields, labels=spec.labels))


def has_placeholders(container: ContainerSpec) -> bool:
    """Whether there is anything to fill in. Cheap, as most containers have nothing."""
    return (
        OPENING in container.hostname
        or any(OPENING in entry for entry in container.env)
        or any(OPENING in text for mount in container.mounts for text in _texts(mount))
    )


def _texts(mount: Mount) -> list[str]:
    options = mount.volume_options
    texts = [mount.source, mount.target]
    if options is not None:
        texts += options.labels.values()
        texts += options.driver_config.options.values() if options.driver_config else ()
    return texts


def _fill(container: ContainerSpec, values: Values) -> ContainerSpec:
    return replace(
        container,
        hostname=_within("expanding hostname failed", container.hostname, values),
        env=tuple(_environment(entry, values) for entry in container.env),
        mounts=tuple(_mount(mount, values) for mount in container.mounts),
    )


def _within(where: str, text: str, values: Values) -> str:
    try:
        return expand(text, values)
    except Invalid as refusal:
        _, _, why = str(refusal).partition("desc = ")
        raise rpc.invalid(f"{where}: {why}") from None


def _environment(entry: str, values: Values) -> str:
    """Only the value is a template, not the name."""
    name, equals, value = entry.partition("=")
    where = f"expanding env failed: expanding env {json.dumps(entry)}"
    return f"{name}{equals}{_within(where, value, values)}"


def _mount(mount: Mount, values: Values) -> Mount:
    where = "expanding mounts failed: expanding mount"
    return replace(
        mount,
        source=_within(f"{where} source {json.dumps(mount.source)}", mount.source, values),
        target=_within(f"{where} target {json.dumps(mount.target)}", mount.target, values),
        volume_options=_volume(mount.volume_options, values),
    )


def _volume(options: VolumeOptions | None, values: Values) -> VolumeOptions | None:
    if options is None:
        return None
    driver = options.driver_config
    if driver is not None:
        driver = replace(driver, options=_map(driver.options, values))
    return replace(options, labels=_map(options.labels, values), driver_config=driver)


def _map(entries: Mapping[str, str], values: Values) -> dict[str, str]:
    where = "expanding mounts failed: expanding volume options"
    return {key: _within(where, text, values) for key, text in entries.items()}
