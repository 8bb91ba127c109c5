"""``/services``."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from skep.api import schema
from skep.api.call import Call, empty, json
from skep.api.filters import Filters
from skep.api.shapes import service as shapes
from skep.api.shapes.base import Json
from skep.cluster import control
from skep.cluster.context import Context
from skep.cluster.modes import mode_of
from skep.cluster.state import Draft, State
from skep.model.cluster import Service
from skep.model.errors import Invalid
from skep.model.spec import Replicated, ServiceMode, ServiceSpec, TaskSpec

FILTERS = ("id", "label", "mode", "name", "runtime")
MODES = ("replicated", "global", "replicated-job", "global-job")
CONTAINER = "container"
DEFAULT_ISOLATION = "default"


async def list_all(call: Call) -> web.StreamResponse:
    """``GET /services?status=``."""
    filters = call.filters(*FILTERS)
    for mode in filters.get("mode"):
        if mode not in MODES:
            raise Invalid(f"invalid filter 'mode={mode}'")
    state = call.ports.cluster.state()
    found = [service for service in state.services.values() if _passes(service, filters)]
    return json([_listed(service, state, with_status=call.flag("status")) for service in found])


async def create(call: Call) -> web.StreamResponse:
    """``POST /services/create``."""
    spec = service_spec(await call.body())
    made = await call.ports.cluster.change(
        lambda draft, context: control.create_service(draft, context, spec)
    )
    return json({"ID": made, "Warnings": None}, status=201)


async def inspect(call: Call) -> web.StreamResponse:
    """``GET /services/{id}?insertDefaults=``."""
    service = call.ports.cluster.state().find_service(call.parts["id"])
    return json(shapes.service(service, defaults=call.flag("insertDefaults")))


async def update(call: Call) -> web.StreamResponse:
    """``POST /services/{id}/update?version=&rollback=``: to the body's spec, or to the previous."""
    reference, version = call.parts["id"], call.object_version("service")
    spec = service_spec(await call.body())
    rollback = call.query("rollback")
    if rollback not in ("", "none", "previous"):
        raise Invalid(f"unrecognized rollback option {rollback}")

    def decide(draft: Draft, context: Context) -> None:
        if rollback == "previous":
            control.rollback_service(draft, context, reference, version)
        else:
            control.update_service(draft, context, reference, version, spec)

    await call.ports.cluster.change(decide)
    return json({"Warnings": None})


async def remove(call: Call) -> web.StreamResponse:
    """``DELETE /services/{id}``."""
    reference = call.parts["id"]
    await call.ports.cluster.change(
        lambda draft, context: control.remove_service(draft, context, reference)
    )
    return empty(200)


def service_spec(body: Any) -> ServiceSpec:
    """The spec that a body asks for, in one form for all ways to say the same.

    Clients send back what they were shown, so the words that `shapes.service` adds are taken off
    again: else they would count as a change and replace every task. Raises `Invalid`,
    `Unsupported`.
    """
    return _plain(schema.decode(body, ServiceSpec))


def _plain(spec: ServiceSpec) -> ServiceSpec:
    mode = spec.mode
    if mode in (ServiceMode(), ServiceMode(replicated=Replicated())):
        mode = ServiceMode(replicated=Replicated(replicas=1))
    return msgspec.structs.replace(spec, mode=mode, task_template=_plain_task(spec.task_template))


def _plain_task(task: TaskSpec) -> TaskSpec:
    container = task.container_spec
    if container is not None and container.isolation == DEFAULT_ISOLATION:
        container = msgspec.structs.replace(container, isolation="")
    runtime = "" if task.runtime == CONTAINER else task.runtime
    return msgspec.structs.replace(task, runtime=runtime, container_spec=container)


def _listed(service: Service, state: State, *, with_status: bool) -> Json:
    shown = shapes.service(service)
    if with_status:
        shown["ServiceStatus"] = shapes.status(service, state.tasks_of_service(service.id))
    return shown


def _passes(service: Service, filters: Filters) -> bool:
    return (
        filters.prefix("id", service.id)
        and filters.prefix("name", service.spec.name)
        and filters.labels("label", service.spec.labels)
        and filters.exact("mode", mode_of(service.spec))
        and filters.exact("runtime", CONTAINER)
    )
