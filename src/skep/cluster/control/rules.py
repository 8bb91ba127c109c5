"""What a service's spec must be in itself, whatever the cluster holds.

Source of the sentences: swarmkit manager/controlapi/service.
"""

from __future__ import annotations

import json
import re

from skep.cluster import constraints, rpc
from skep.cluster.control.names import check_name
from skep.model.errors import Invalid, Unsupported
from skep.model.spec import (
    ContainerSpec,
    EndpointSpec,
    Limit,
    Reservation,
    RestartPolicy,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)

LEAST_NANO_CPUS = 1_000_000
LEAST_MEMORY = 4 * 1024 * 1024
LAST_PORT = 65535
PROTOCOLS = ("tcp", "udp", "sctp")
CONDITIONS = ("", "none", "on-failure", "any")
LONGEST_IMAGE = 512

_DOMAIN = r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?"
    r"(?:@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,})?"
)


def check_service(spec: ServiceSpec) -> None:
    """Raises `Invalid` in Docker's words, `Unsupported` for what Skep does not do yet."""
    template = spec.task_template
    if template.runtime not in ("", "container"):
        raise Unsupported(f"services of runtime {template.runtime} are not supported")
    if template.container_spec is None:
        raise Invalid("mismatched Runtime and *Spec fields")
    check_name(spec.name)
    _check_task(template, template.container_spec)
    _refuse_later(template, template.container_spec)
    _check_mode(spec.mode)
    _check_update(spec.update_config)
    _check_update(spec.rollback_config)
    if spec.endpoint_spec is not None:
        _check_endpoint(spec.endpoint_spec)


def _check_task(template: TaskSpec, container: ContainerSpec) -> None:
    if template.resources is not None:
        _check_resources(template.resources.limits)
        _check_resources(template.resources.reservations)
    if template.restart_policy is not None:
        _check_restart(template.restart_policy)
    if template.placement is not None:
        constraints.parse(template.placement.constraints)
    if not container.image:
        raise rpc.invalid("ContainerSpec: image reference must be provided")
    if len(container.image) > LONGEST_IMAGE or not _IMAGE.fullmatch(container.image):
        quoted = json.dumps(container.image)
        raise rpc.invalid(f"ContainerSpec: {quoted} is not a valid repository/tag")
    targets: set[str] = set()
    for mount in container.mounts:
        if mount.target in targets:
            raise rpc.invalid(f"ContainerSpec: duplicate mount point: {mount.target}")
        targets.add(mount.target)


def _refuse_later(template: TaskSpec, container: ContainerSpec) -> None:
    """Say no to what would otherwise be ignored by placing."""
    reservations = template.resources.reservations if template.resources else None
    if reservations is not None and reservations.generic_resources:
        raise Unsupported("generic resources are not supported yet")
    if template.placement is not None and template.placement.preferences:
        raise Unsupported("placement preferences are not supported yet, constraints are")
    if container.secrets:
        raise Unsupported("secrets are not supported yet")
    if container.configs:
        raise Unsupported("configs are not supported yet")


def _check_resources(wanted: Limit | Reservation | None) -> None:
    if wanted is None:
        return
    if wanted.nano_cpus and wanted.nano_cpus < LEAST_NANO_CPUS:
        raise rpc.invalid(f"invalid cpu value {wanted.nano_cpus / 1e9:g}: Must be at least 0.001")
    if wanted.memory_bytes and wanted.memory_bytes < LEAST_MEMORY:
        raise rpc.invalid(f"invalid memory value {wanted.memory_bytes}: Must be at least 4MiB")


def _check_restart(policy: RestartPolicy) -> None:
    if policy.condition not in CONDITIONS:
        raise Invalid(f"invalid RestartCondition: {json.dumps(policy.condition)}")
    if (policy.delay or 0) < 0:
        raise rpc.invalid("TaskSpec: restart-delay cannot be negative")
    if (policy.window or 0) < 0:
        raise rpc.invalid("TaskSpec: restart-window cannot be negative")


def _check_mode(mode: ServiceMode) -> None:
    if mode.global_ is not None:
        raise Unsupported("services of mode global are not supported yet")
    if mode.replicated_job is not None or mode.global_job is not None:
        raise Unsupported("jobs (modes replicated-job and global-job) are not supported yet")
    if mode.replicated is not None and (mode.replicated.replicas or 0) < 0:
        raise rpc.invalid("Number of replicas must be non-negative")


def _check_update(config: UpdateConfig | None) -> None:
    if config is None:
        return
    if config.delay < 0:
        raise rpc.invalid("TaskSpec: update-delay cannot be negative")
    if config.monitor < 0:
        raise rpc.invalid("TaskSpec: update-monitor cannot be negative")
    if not 0 <= config.max_failure_ratio <= 1:
        raise rpc.invalid("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")
    if config.order not in ("", "stop-first"):
        raise Unsupported(f"update order {config.order} is not supported yet, stop-first is")
    if config.failure_action not in ("", "pause"):
        raise Unsupported(
            f"update failure action {config.failure_action} is not supported yet, pause is"
        )


def _check_endpoint(spec: EndpointSpec) -> None:
    if spec.mode not in ("vip", "dnsrr"):
        raise Invalid(f"invalid endpoint mode: {json.dumps(spec.mode)}")
    seen: set[tuple[str, int]] = set()
    for port in spec.ports:
        if port.protocol not in PROTOCOLS:
            raise Invalid(f"invalid protocol of a port: {json.dumps(port.protocol)}")
        if not 1 <= port.target_port <= LAST_PORT or not 0 <= port.published_port <= LAST_PORT:
            raise Invalid(f"invalid port: {port.published_port}:{port.target_port}")
        if port.publish_mode not in ("ingress", "host"):
            raise Invalid(f"invalid publish mode: {json.dumps(port.publish_mode)}")
        if spec.mode == "dnsrr" and port.publish_mode == "ingress":
            raise rpc.invalid(
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode"
            )
        if port.publish_mode == "host":
            raise Unsupported("publishing ports in mode host is not supported yet, ingress is")
        if port.published_port and (port.protocol, port.published_port) in seen:
            raise rpc.invalid("EndpointSpec: duplicate published ports provided")
        seen.add((port.protocol, port.published_port))
