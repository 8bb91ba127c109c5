"""From a service's task to the engine's create request. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from skep.model.cluster import Task
from skep.model.spec import ContainerSpec, GenericResource, Mount, Resources

Json = dict[str, Any]


def task_body(task: Task) -> Json:
    """The body of ``POST /containers/create`` for a task, in Docker's words."""
    spec = task.spec.container_spec
    assert spec is not None, "a service's task has a container"
    body: Json = {
        "Image": spec.image,
        "Env": [*spec.env, *resource_variables(task.generic_resources)],
        "Hostname": spec.hostname,
        "User": spec.user,
        "WorkingDir": spec.dir,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StopSignal": spec.stop_signal,
        "Labels": task_labels(task, spec),
        "HostConfig": host_config(spec, task.spec.resources),
        "Healthcheck": health_check(spec),
    }
    if task.spec.log_driver and task.spec.log_driver.name:
        body["HostConfig"]["LogConfig"] = {
            "Type": task.spec.log_driver.name,
            "Config": task.spec.log_driver.options,
        }
    if spec.command:
        body["Entrypoint"] = list(spec.command)
    if spec.args:
        body["Cmd"] = list(spec.args)
    return {key: value for key, value in body.items() if value not in ("", None, [])}


def resource_variables(resources: Sequence[GenericResource]) -> list[str]:
    """The units that a task was given, as Docker tells it: "DOCKER_RESOURCE_GPU=UUID1,UUID2"."""
    given: dict[str, list[str]] = {}
    for resource in resources:
        unit = resource.named_resource_spec or resource.discrete_resource_spec
        if unit is not None:
            given.setdefault(unit.kind, []).append(str(unit.value))
    return [f"DOCKER_RESOURCE_{kind.upper()}={','.join(units)}" for kind, units in given.items()]


def task_labels(task: Task, spec: ContainerSpec) -> dict[str, str]:
    """The user's container labels and those by which Swarm's tools know a task."""
    return {
        **spec.labels,
        "com.docker.swarm.node.id": task.node_id,
        "com.docker.swarm.service.id": task.service_id,
        "com.docker.swarm.service.name": task.service_name,
        "com.docker.swarm.task": "",
        "com.docker.swarm.task.id": task.id,
        "com.docker.swarm.task.name": task.name,
    }


def host_config(spec: ContainerSpec, resources: Resources | None) -> Json:
    """Mounts, capabilities, sysctls, limits, names."""
    config: Json = {
        "Init": spec.init,
        "ReadonlyRootfs": spec.read_only,
        "Sysctls": spec.sysctls,
        "CapAdd": list(spec.capability_add),
        "CapDrop": list(spec.capability_drop),
        "GroupAdd": list(spec.groups),
        "Mounts": [mount(item) for item in spec.mounts],
        "ExtraHosts": [swapped(line) for line in spec.hosts],
        "Ulimits": [{"Name": u.name, "Soft": u.soft, "Hard": u.hard} for u in spec.ulimits],
        "OomScoreAdj": spec.oom_score_adj,
    }
    if spec.privileges and spec.privileges.no_new_privileges:
        config["SecurityOpt"] = ["no-new-privileges"]
    if spec.dns_config:
        config["Dns"] = list(spec.dns_config.nameservers)
        config["DnsSearch"] = list(spec.dns_config.search)
        config["DnsOptions"] = list(spec.dns_config.options)
    limits = resources.limits if resources else None
    if limits:
        config["NanoCpus"] = limits.nano_cpus
        config["Memory"] = limits.memory_bytes
        config["PidsLimit"] = limits.pids or None
    reserved = resources.reservations if resources else None
    if reserved:
        config["MemoryReservation"] = reserved.memory_bytes
    return {key: value for key, value in config.items() if value}


def swapped(line: str) -> str:
    """A service's host entry ("10.0.0.1 name") as a container's ("name:10.0.0.1")."""
    address, _, names = line.partition(" ")
    return f"{names.strip()}:{address}"


def health_check(spec: ContainerSpec) -> Json | None:
    """The health check in the container API's words, which are the service's own."""
    if spec.healthcheck is None:
        return None
    check: Json = msgspec.to_builtins(spec.healthcheck)
    return check or None


def mount(item: Mount) -> Json:
    """One mount in the container API's words, which are the service's own."""
    words: Json = msgspec.to_builtins(item)
    return {"Type": item.type, **words}
