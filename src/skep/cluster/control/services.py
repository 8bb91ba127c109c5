"""Requests about services."""

from __future__ import annotations

from msgspec.structs import replace

from skep.cluster import rpc
from skep.cluster.claims import listener_conflict, port_conflict
from skep.cluster.context import Context
from skep.cluster.control.rules import check_service
from skep.cluster.control.secrets import check_references
from skep.cluster.lives import stop
from skep.cluster.modes import completed, is_job, job_status, mode_of
from skep.cluster.needs import host_ports, publishes_ingress, task_networks
from skep.cluster.options import balance_of, check_balancing
from skep.cluster.rollout import MANUAL_ROLLBACK, ROLLING_BACK
from skep.cluster.state import Draft
from skep.cluster.view import View
from skep.model.cluster import JobStatus, Service, TaskState, UpdateStatus
from skep.model.errors import Forbidden, Invalid, Missing, OutOfSequence, Unsupported
from skep.model.spec import EndpointSpec, NetworkAttachmentConfig, ServiceSpec

LOCAL = ("bridge", "docker_gwbridge")
NODE_NETWORKS = ("host", "none")


def create_service(draft: Draft, context: Context, spec: ServiceSpec) -> str:
    """Make a service; answers its id. Its tasks and allocations follow from reconciling.

    A service without a name is named after its id. Networks are stored by id. Raises `Invalid`,
    `Missing` (network), `Forbidden` (network of one host), `Clash` (name), `Unsupported`.
    """
    id = context.new_id()
    if not spec.name and spec.task_template.container_spec is not None:
        spec = replace(spec, name=f"service_{id[:8]}")
    spec = _checked(draft, spec, but="")
    if draft.service_named(spec.name) is not None:
        raise rpc.exists(
            f"name conflicts with an existing object: service {spec.name} already exists"
        )
    job = JobStatus(last_execution=context.now) if is_job(spec) else None
    draft.put(
        Service(
            id=id,
            created_at=context.now,
            updated_at=context.now,
            spec=spec,
            spec_version=1,
            job=job,
        )
    )
    return id


def update_service(
    draft: Draft, context: Context, reference: str, version: int, spec: ServiceSpec
) -> None:
    """Change a service's spec; the old one is kept as its previous. A job runs anew.

    A paused update goes on. Raises what `create_service` raises, `OutOfSequence`, and `Unsupported`
    for another name or mode.
    """
    service = draft.find_service(reference)
    spec = _checked(draft, spec, but=service.id)
    if mode_of(spec) != mode_of(service.spec):
        raise rpc.unimplemented("service mode change is not allowed")
    if spec.name != service.spec.name:
        raise rpc.unimplemented("renaming services is not supported")
    if service.version != version:
        raise OutOfSequence
    draft.put(_renewed(draft, context, service, spec))


def rollback_service(draft: Draft, context: Context, reference: str, version: int) -> None:
    """Go back to the service's previous spec, as its roll-back config says; again, and all is as
    it was.

    Raises `Missing`, `Invalid` (no previous spec), `OutOfSequence`, and what `create_service`
    raises if the previous spec cannot be met any more.
    """
    service = draft.find_service(reference)
    if service.previous_spec is None:
        raise rpc.precondition(f"service {service.id} does not have a previous spec")
    spec = _checked(draft, service.previous_spec, but=service.id)
    if service.version != version:
        raise OutOfSequence
    status = UpdateStatus(state=ROLLING_BACK, started_at=context.now, message=MANUAL_ROLLBACK)
    draft.put(replace(_renewed(draft, context, service, spec), update_status=status))


def _renewed(draft: Draft, context: Context, service: Service, spec: ServiceSpec) -> Service:
    """The service with another spec, and how its last update went forgotten.

    Only what its tasks are made from makes a new version of them; scaling does not.
    """
    old, ingress = service.spec, draft.ingress_id
    same_tasks = (
        spec.task_template == old.task_template
        and task_networks(spec, ingress) == task_networks(old, ingress)
        and host_ports(spec) == host_ports(old)
    )
    job = None
    if is_job(spec):
        job = JobStatus(job_status(service).iteration + 1, last_execution=context.now)
    return replace(
        service,
        spec=spec,
        previous_spec=old,
        spec_version=service.spec_version + (0 if same_tasks else 1),
        update_status=None,
        job=job,
        updated_at=context.now,
    )


def remove_service(draft: Draft, context: Context, reference: str) -> None:
    """Remove a service; its tasks are to go, and go when their nodes say so. Raises `Missing`."""
    service = draft.find_service(reference)
    for task in draft.tasks_of_service(service.id):
        stop(draft, context, task, TaskState.REMOVE)
    draft.delete(service)


# --- what a spec must be


def _checked(draft: Draft, spec: ServiceSpec, *, but: str) -> ServiceSpec:
    """The spec as it is stored, if it can be met beside all services ``but`` one."""
    spec = _normal(spec)
    check_service(spec)
    spec = _resolved(draft, spec)
    before = draft.services.get(but)
    if before is None or balance_of(before.spec) != balance_of(spec):
        # A service is not held to it by a host that came later.
        check_balancing(spec.labels, draft.nodes.values())
    conflict = port_conflict(draft, spec, but=but) or listener_conflict(draft, spec, but=but)
    if conflict:
        raise rpc.invalid(conflict)
    _check_references(draft, spec)
    if publishes_ingress(spec) and draft.ingress is None:
        raise rpc.precondition("service needs ingress network, but no ingress network is present")
    return spec


def _check_references(draft: Draft, spec: ServiceSpec) -> None:
    container = spec.task_template.container_spec
    if container is not None:
        check_references(
            draft,
            {secret.secret_id: secret.secret_name for secret in container.secrets},
            {config.config_id: config.config_name for config in container.configs},
        )


def _normal(spec: ServiceSpec) -> ServiceSpec:
    """Empty words of the endpoint's spec, and open numbers of a job, replaced by what they mean."""
    job, endpoint = spec.mode.replicated_job, spec.endpoint_spec
    if job is not None:
        spec = replace(spec, mode=replace(spec.mode, replicated_job=completed(job)))
    if endpoint is None:
        return spec
    ports = tuple(
        replace(
            port,
            protocol=port.protocol or "tcp",
            publish_mode=port.publish_mode or "ingress",
        )
        for port in endpoint.ports
    )
    return replace(spec, endpoint_spec=EndpointSpec(mode=endpoint.mode or "vip", ports=ports))


def _resolved(view: View, spec: ServiceSpec) -> ServiceSpec:
    """The spec with its networks named by id."""
    template = replace(spec.task_template, networks=_by_id(view, spec.task_template.networks))
    return replace(spec, task_template=template, networks=_by_id(view, spec.networks))


def _by_id(
    view: View, configs: tuple[NetworkAttachmentConfig, ...]
) -> tuple[NetworkAttachmentConfig, ...]:
    found = tuple(replace(config, target=_target(view, config)) for config in configs)
    if len({config.target for config in found}) < len(found):
        raise Invalid("a service cannot be attached to the same network twice")
    return found


def _target(view: View, config: NetworkAttachmentConfig) -> str:
    if config.driver_opts:
        raise Unsupported("driver options of a service's network are not supported yet")
    try:
        network = view.find_network(config.target)
    except Missing:
        if config.target in LOCAL:
            raise Forbidden(
                f"The network {config.target} cannot be used with services. Only networks scoped "
                "to the swarm can be used, such as those created with the overlay driver."
            ) from None
        if config.target in NODE_NETWORKS:
            raise Unsupported(
                f"services on the network {config.target} are not supported yet"
            ) from None
        raise
    if network.spec.ingress:
        raise rpc.invalid(
            f'Service cannot be explicitly attached to the ingress network "{network.spec.name}"'
        )
    return network.id
