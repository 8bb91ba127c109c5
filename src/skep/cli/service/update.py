"""What the flags of ``service update`` make of a service's spec."""

from __future__ import annotations

from typing import Any

from skep.cli.api import Api
from skep.cli.flags import Options
from skep.cli.service import changes
from skep.cli.service.create import log_driver, set_health
from skep.cli.service.fields import COLLECTIONS, SINGLES, Collection
from skep.cli.service.lookups import attachments, network_id, payload_references
from skep.cli.service.paths import CONTAINER, HEALTH, TASK, look, part
from skep.cli.syntax.attachments import capability
from skep.model.errors import Invalid

Json = dict[str, Any]


def change_spec(api: Api, spec: Json, options: Options) -> None:
    """Change it in place. Raises `Invalid` for what contradicts the service or itself."""
    _forget_no_check(spec, options)
    for single in SINGLES:
        if options.has(single.flag.name):
            part(spec, single.path[:-1])[single.path[-1]] = options.get(single.flag.name)
    for option, member in (("image", "Image"), ("args", "Args")):
        if options.has(option):
            part(spec, CONTAINER)[member] = options.get(option)
    for each in COLLECTIONS:
        if options.has(f"{each.name}-add", f"{each.name}-rm"):
            _change(api, spec, each, options)
    _change_capabilities(spec, options)
    set_health(spec, options)
    if options.text("log-driver"):
        part(spec, TASK)["LogDriver"] = log_driver(options)
    _change_mode(spec["Mode"], options)
    if options.switch("force"):
        part(spec, TASK)["ForceUpdate"] = (look(spec, (*TASK, "ForceUpdate")) or 0) + 1


def _forget_no_check(spec: Json, options: Options) -> None:
    """A health check that is set again is no longer "none"."""
    given = any(name.startswith("health-") for name in options.names)
    if given and (look(spec, (*HEALTH, "Test")) or [""])[0] == "NONE":
        part(spec, HEALTH)["Test"] = []


def _change(api: Api, spec: Json, each: Collection, options: Options) -> None:
    added, removed = options.all(f"{each.name}-add"), options.all(f"{each.name}-rm")
    now = look(spec, each.path)
    if each.name == "network":
        now = now or spec.get("Networks")
        spec["Networks"] = None
        removed = [network_id(api, name) for name in removed]
        there = {each["Target"] for each in now or ()} - set(removed)
        wanted, added = added, attachments(api, added)
        for one, other in zip(wanted, added, strict=True):
            if other["Target"] in there:
                raise Invalid(f"service is already attached to network {one['Target']}")
    elif each.name in ("secret", "config"):
        added = payload_references(api, each.name.capitalize(), added)
    then = each.change(now or each.nothing, added, removed)
    part(spec, each.path[:-1])[each.path[-1]] = then


def _change_capabilities(spec: Json, options: Options) -> None:
    if not options.has("cap-add", "cap-drop"):
        return
    container = part(spec, CONTAINER)
    now = (container.get("CapabilityAdd") or (), container.get("CapabilityDrop") or ())
    added, dropped = changes.capabilities(
        now,
        {capability(name) for name in options.all("cap-add")},
        {capability(name) for name in options.all("cap-drop")},
    )
    container.update({"CapabilityAdd": added, "CapabilityDrop": dropped})


def _change_mode(mode: Json, options: Options) -> None:
    if options.has("replicas"):
        if mode.get("Replicated") is None:
            raise Invalid("replicas can only be used with replicated mode")
        mode["Replicated"]["Replicas"] = options.get("replicas")
    if options.has("max-concurrent"):
        job = mode.get("ReplicatedJob")
        if job is None:
            raise Invalid("max-concurrent can only be used with replicated-job mode")
        job["MaxConcurrent"] = options.get("max-concurrent")
