"""The spec of a new service, from the flags of ``service create``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from skep.cli import acting
from skep.cli.api import Api
from skep.cli.flags import Options
from skep.cli.service.fields import COLLECTIONS, SINGLES
from skep.cli.service.lookups import attachments, payload_references
from skep.cli.service.paths import CONTAINER, HEALTH, TASK, part
from skep.cli.syntax.attachments import capabilities
from skep.cli.syntax.pairs import deduplicated, read_variables, resolved
from skep.model.errors import Invalid

Json = dict[str, Any]
_HEALTH = ("health-interval", "health-timeout", "health-retries", "health-start-period",
           "health-start-interval", "health-cmd")  # fmt: skip


def new_spec(api: Api, arguments: Sequence[str], options: Options) -> Json:
    """The spec. Raises `Invalid` for what contradicts itself, `Refused` for names that are none."""
    image, *args = arguments
    spec: Json = {"Name": options.text("name"), "Labels": {}}
    container = part(spec, CONTAINER)
    container.update({"Image": image, "Args": args, "Init": False})
    spec["Mode"] = mode(options)
    spec["EndpointSpec"] = {"Mode": "vip"}
    for single in SINGLES:
        if options.has(single.flag.name):
            part(spec, single.path[:-1])[single.path[-1]] = options.get(single.flag.name)
    spec["EndpointSpec"]["Mode"] = spec["EndpointSpec"]["Mode"].lower()
    _collect(api, spec, options)
    added, dropped = capabilities(options.all("cap-add"), options.all("cap-drop"))
    container.update({"CapabilityAdd": added, "CapabilityDrop": dropped})
    set_health(spec, options)
    if options.text("log-driver"):
        part(spec, TASK)["LogDriver"] = log_driver(options)
    return spec


def _collect(api: Api, spec: Json, options: Options) -> None:
    for each in COLLECTIONS:
        added = options.all(each.name)
        if each.name == "env":
            files = [word for path in options.all("env-file")
                     for word in read_variables(path, os.environ.get)]  # fmt: skip
            added = deduplicated((*files, *resolved(added, os.environ.get)))
        elif each.name == "network":
            added = attachments(api, added)
        elif each.name in ("secret", "config"):
            added = payload_references(api, each.name.capitalize(), added)
        if added:
            part(spec, each.path[:-1])[each.path[-1]] = each.change(None, added, ())


def mode(options: Options) -> Json:
    """The mode of a new service. Raises `Invalid` where numbers of tasks make no sense."""
    word = options.text("mode", "replicated")
    replicas, at_once = options.get("replicas"), options.get("max-concurrent")
    if word in ("global", "global-job"):
        if replicas is not None:
            raise Invalid("replicas can only be used with replicated or replicated-job mode")
        if options.has("replicas-max-per-node"):
            raise Invalid("replicas-max-per-node can only be used with replicated or "
                          "replicated-job mode")  # fmt: skip
    if at_once is not None and word != "replicated-job":
        raise Invalid("max-concurrent can only be used with replicated-job mode")
    if word == "global":
        return {"Global": {}}
    if word == "global-job":
        return {"GlobalJob": {}}
    if word == "replicated":
        return {"Replicated": {} if replicas is None else {"Replicas": replicas}}
    if word == "replicated-job":
        job = {
            "TotalCompletions": replicas,
            "MaxConcurrent": replicas if at_once is None else at_once,
        }
        return {"ReplicatedJob": {key: value for key, value in job.items() if value is not None}}
    raise Invalid(f"Unknown mode: {word}, only replicated and global supported")


def set_health(spec: Json, options: Options) -> None:
    """The health check's command, or none at all. Raises `Invalid` for both."""
    if options.switch("no-healthcheck"):
        if options.has(*_HEALTH):
            raise Invalid("--no-healthcheck conflicts with --health-* options")
        part(spec, CONTAINER)["Healthcheck"] = {"Test": ["NONE"]}
    elif options.has("health-cmd"):
        command = options.text("health-cmd")
        part(spec, HEALTH)["Test"] = ["CMD-SHELL", command] if command else []


def log_driver(options: Options) -> Json:
    """Where logs go."""
    return {"Name": options.text("log-driver"), "Options": acting.labels(options.all("log-opt"))}
