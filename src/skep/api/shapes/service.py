"""Services, as ``service inspect`` and ``service ls`` show them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from skep.api.shapes.base import Json, instant, meta, wire
from skep.cluster.modes import is_job, job_size, job_status, mode_of, replicas_of
from skep.model.cluster import Service, ServiceEndpoint, Task, TaskState, UpdateStatus
from skep.model.spec import (
    SECOND,
    DnsConfig,
    Limit,
    Placement,
    Replicated,
    Reservation,
    Resources,
    RestartPolicy,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)

UPDATE = UpdateConfig(parallelism=1, failure_action="pause", monitor=5 * SECOND, order="stop-first")
"""How updates and rollbacks proceed if the user said nothing. Source: swarmkit's defaults."""

GRACE = 10 * SECOND
RESTART_DELAY = 5 * SECOND


def service(record: Service, *, defaults: bool = False) -> Json:
    """``GET /services/{id}``; with ``defaults``, what the user left open is filled in."""
    shown = {"ID": record.id, **meta(record), "Spec": spec(_filled(record.spec, defaults))}
    if record.previous_spec is not None:
        shown["PreviousSpec"] = spec(_filled(record.previous_spec, defaults))
    shown["Endpoint"] = _endpoint(record.endpoint)
    if record.update_status is not None:
        shown["UpdateStatus"] = _update_status(record.update_status)
    if is_job(record.spec):
        run = job_status(record)
        shown["JobStatus"] = {
            "JobIteration": {"Index": run.iteration},
            "LastExecution": instant(run.last_execution),
        }
    return shown


def _update_status(status: UpdateStatus) -> Json:
    shown: Json = {"State": status.state, "Message": status.message}
    if status.started_at:
        shown["StartedAt"] = instant(status.started_at)
    if status.completed_at:
        shown["CompletedAt"] = instant(status.completed_at)
    return shown


def spec(wanted: ServiceSpec) -> Json:
    """A service's spec; members that every client reads are there even when empty."""
    shown: Json = {"Name": "", "Labels": {}, **wire(wanted)}
    shown["TaskTemplate"] = task_spec(wanted.task_template)
    shown["Mode"] = wire(wanted.mode) or {"Replicated": {"Replicas": 1}}
    return shown


def task_spec(wanted: TaskSpec) -> Json:
    """A task's spec, with the two words that Docker adds."""
    shown: Json = wire(wanted)
    if "ContainerSpec" in shown:
        shown["ContainerSpec"].setdefault("Isolation", "default")
    shown.setdefault("ForceUpdate", 0)
    shown.setdefault("Runtime", "container")
    return shown


def status(record: Service, tasks: Iterable[Task]) -> Json:
    """``ServiceStatus``: the REPLICAS column of ``service ls``. Of a job, its last run counts."""
    wanted = [task for task in tasks if task.wanted]
    finished = 0
    if is_job(record.spec):
        run = job_status(record).iteration
        wanted = [task for task in wanted if task.job_iteration == run]
        finished = sum(task.status.state == TaskState.COMPLETE for task in wanted)
    return {
        "RunningTasks": sum(task.status.state == TaskState.RUNNING for task in wanted),
        "DesiredTasks": _desired(record, len(wanted) - finished),
        "CompletedTasks": finished,
    }


def _desired(record: Service, unfinished: int) -> int:
    match mode_of(record.spec):
        case "replicated":
            return replicas_of(record.spec)
        case "replicated-job":
            return job_size(record.spec)[1]
        case _:
            return unfinished


def _endpoint(endpoint: ServiceEndpoint | None) -> Json:
    if endpoint is None:
        return {"Spec": {}}
    shown: Json = {"Spec": wire(endpoint.spec)}
    if endpoint.ports:
        shown["Ports"] = wire(endpoint.ports)
    if endpoint.virtual_ips:
        shown["VirtualIPs"] = [
            {"NetworkID": vip.network_id, "Addr": address}
            for vip in endpoint.virtual_ips
            for address in (vip.address, vip.address6)
            if address
        ]
    return shown


def _filled(wanted: ServiceSpec, defaults: bool) -> ServiceSpec:
    """The spec with swarmkit's defaults for all that the user left open."""
    if not defaults:
        return wanted
    jobs = is_job(wanted)
    return msgspec.structs.replace(
        wanted,
        task_template=_filled_task(wanted.task_template),
        mode=_filled_mode(wanted.mode),
        update_config=None if jobs else _filled_update(wanted.update_config),
        rollback_config=None if jobs else _filled_update(wanted.rollback_config),
    )


def _filled_task(wanted: TaskSpec) -> TaskSpec:
    container = wanted.container_spec
    if container is not None:
        grace = container.stop_grace_period
        container = msgspec.structs.replace(
            container,
            stop_grace_period=GRACE if grace is None else grace,
            dns_config=container.dns_config or DnsConfig(),
        )
    restart = wanted.restart_policy or RestartPolicy(max_attempts=0)
    if restart.delay is None:
        restart = msgspec.structs.replace(restart, delay=RESTART_DELAY)
    return msgspec.structs.replace(
        wanted,
        container_spec=container,
        resources=wanted.resources or Resources(limits=Limit(), reservations=Reservation()),
        restart_policy=restart,
        placement=wanted.placement or Placement(),
    )


def _filled_mode(wanted: ServiceMode) -> ServiceMode:
    if wanted in (ServiceMode(), ServiceMode(replicated=Replicated())):
        return ServiceMode(replicated=Replicated(replicas=1))
    return wanted


def _filled_update(wanted: UpdateConfig | None) -> UpdateConfig:
    if wanted is None:
        return UPDATE
    return msgspec.structs.replace(
        wanted,
        failure_action=wanted.failure_action or UPDATE.failure_action,
        monitor=wanted.monitor or UPDATE.monitor,
        order=wanted.order or UPDATE.order,
    )
