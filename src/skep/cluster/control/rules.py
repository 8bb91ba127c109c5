"""What a service's spec must be in itself, whatever the cluster holds.

Source of the sentences: swarmkit manager/controlapi/service, moby daemon/cluster/convert.
"""

from __future__ import annotations

import json

from skep.cluster import constraints, rpc
from skep.cluster.control.containers import check_container
from skep.cluster.control.names import check_name
from skep.cluster.modes import is_job
from skep.cluster.needs import DNSRR, HOST_MODE, INGRESS_MODE
from skep.cluster.options import check_options
from skep.cluster.templates import sample
from skep.model.container import DriverConfig
from skep.model.errors import Invalid, Unsupported
from skep.model.spec import (
    EndpointSpec,
    GenericResource,
    Limit,
    Placement,
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
ORDERS = ("", "stop-first", "start-first")
FAILURE_ACTIONS = ("", "pause", "continue", "rollback")
LOG_DRIVERS = ("", "json-file", "local", "journald", "none")
"""Log drivers that hosts have; what they are given is kept on the host."""


def check_service(spec: ServiceSpec) -> None:
    """Raises `Invalid` in Docker's words, `Unsupported` for what Skep does not do."""
    template = spec.task_template
    if template.runtime not in ("", "container"):
        raise Unsupported(f"services of runtime {template.runtime} are not supported")
    if template.container_spec is None:
        raise Invalid("mismatched Runtime and *Spec fields")
    check_name(spec.name)
    check_options(spec.labels)
    _check_task(template)
    check_container(sample(spec, template.container_spec))
    _check_mode(spec.mode)
    if is_job(spec) and spec.update_config is not None:
        raise rpc.invalid("Jobs may not have an update config")
    _check_update(spec.update_config)
    _check_update(spec.rollback_config)
    if spec.endpoint_spec is not None:
        _check_endpoint(spec.endpoint_spec)


# --- tasks


def _check_task(template: TaskSpec) -> None:
    if template.resources is not None:
        _check_resources(template.resources.limits)
        _check_resources(template.resources.reservations)
    if template.resources is not None and template.resources.reservations is not None:
        for resource in template.resources.reservations.generic_resources:
            _check_generic(resource)
    if template.restart_policy is not None:
        _check_restart(template.restart_policy)
    if template.placement is not None:
        _check_placement(template.placement)
    if template.log_driver is not None:
        _check_log_driver(template.log_driver)


def _check_resources(wanted: Limit | Reservation | None) -> None:
    if wanted is None:
        return
    if wanted.nano_cpus and wanted.nano_cpus < LEAST_NANO_CPUS:
        raise rpc.invalid(f"invalid cpu value {wanted.nano_cpus / 1e9:g}: Must be at least 0.001")
    if wanted.memory_bytes and wanted.memory_bytes < LEAST_MEMORY:
        raise rpc.invalid(f"invalid memory value {wanted.memory_bytes}: Must be at least 4MiB")
    if isinstance(wanted, Limit) and wanted.pids < -1:
        raise rpc.invalid(f"invalid pids limit {wanted.pids}: Must be a number of processes")


def _check_generic(resource: GenericResource) -> None:
    """Users ask for a number of units; which ones they get is the scheduler's choice."""
    if resource.named_resource_spec is not None:
        kind = resource.named_resource_spec.kind
        raise rpc.invalid(f"invalid argument for resource {kind}: it takes a number of units")
    discrete = resource.discrete_resource_spec
    if discrete is None or not discrete.kind:
        raise rpc.invalid("invalid generic resource: it needs a kind and a number of units")
    if discrete.value < 1:
        raise rpc.invalid(f"invalid argument for resource {discrete.kind}: {discrete.value}")


def _check_restart(policy: RestartPolicy) -> None:
    if policy.condition not in CONDITIONS:
        raise Invalid(f"invalid RestartCondition: {json.dumps(policy.condition)}")
    if (policy.delay or 0) < 0:
        raise rpc.invalid("TaskSpec: restart-delay cannot be negative")
    if (policy.window or 0) < 0:
        raise rpc.invalid("TaskSpec: restart-window cannot be negative")
    if (policy.max_attempts or 0) < 0:
        raise rpc.invalid("TaskSpec: restart-max-attempts cannot be negative")


def _check_placement(placement: Placement) -> None:
    constraints.parse(placement.constraints)
    for preference in placement.preferences:
        key = preference.spread.spread_descriptor if preference.spread else ""
        if not constraints.is_known(key):
            raise rpc.invalid(
                f"placement preference spread={key} is invalid: tasks can be spread over "
                "node.labels.*, engine.labels.* and the node's own attributes"
            )
    if placement.max_replicas < 0:
        raise rpc.invalid("TaskSpec: replicas-max-per-node cannot be negative")


def _check_log_driver(driver: DriverConfig) -> None:
    if driver.name not in LOG_DRIVERS:
        known = ", ".join(name for name in LOG_DRIVERS if name)
        raise Unsupported(f"log driver {driver.name} is not supported: there are {known}")


# --- modes and updates


def _check_mode(mode: ServiceMode) -> None:
    modes = (mode.replicated, mode.global_, mode.replicated_job, mode.global_job)
    if sum(1 for given in modes if given is not None) > 1:
        raise Invalid("must specify only one service mode")
    if mode.replicated is not None and (mode.replicated.replicas or 0) < 0:
        raise rpc.invalid("Number of replicas must be non-negative")
    if mode.replicated_job is not None:
        if (mode.replicated_job.max_concurrent or 0) < 0:
            raise rpc.invalid("Maximum concurrent jobs must not be negative")
        if (mode.replicated_job.total_completions or 0) < 0:
            raise rpc.invalid("Total completed jobs must not be negative")


def _check_update(config: UpdateConfig | None) -> None:
    if config is None:
        return
    if config.failure_action not in FAILURE_ACTIONS:
        raise Invalid(f"unrecognized update failure action {config.failure_action}")
    if config.order not in ORDERS:
        raise Invalid(f"unrecognized update order {config.order}")
    if config.parallelism < 0:
        raise rpc.invalid("TaskSpec: update-parallelism cannot be negative")
    if config.delay < 0:
        raise rpc.invalid("TaskSpec: update-delay cannot be negative")
    if config.monitor < 0:
        raise rpc.invalid("TaskSpec: update-monitor cannot be negative")
    if not 0 <= config.max_failure_ratio <= 1:
        raise rpc.invalid("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")


# --- endpoints


def _check_endpoint(spec: EndpointSpec) -> None:
    if spec.mode not in ("vip", DNSRR):
        raise Invalid(f"invalid resolution mode: {json.dumps(spec.mode)}")
    seen: set[tuple[str, int]] = set()
    for port in spec.ports:
        if port.protocol not in PROTOCOLS:
            raise Invalid(f"invalid protocol of a port: {json.dumps(port.protocol)}")
        if not 1 <= port.target_port <= LAST_PORT or not 0 <= port.published_port <= LAST_PORT:
            raise Invalid(f"invalid port: {port.published_port}:{port.target_port}")
        if port.publish_mode not in (INGRESS_MODE, HOST_MODE):
            raise Invalid(f"invalid publish mode: {json.dumps(port.publish_mode)}")
        if spec.mode == DNSRR and port.publish_mode == INGRESS_MODE:
            raise rpc.invalid(
                "EndpointSpec: port published with ingress mode can't be used with dnsrr mode"
            )
        if port.published_port and (port.protocol, port.published_port) in seen:
            raise rpc.invalid("EndpointSpec: duplicate published ports provided")
        seen.add((port.protocol, port.published_port))
