"""``stack deploy`` and ``stack rm``: networks, secrets, configs, services; and away with them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from skep.cli import acting
from skep.cli.api import Api, Refused, filters, reference
from skep.cli.command import Failure
from skep.cli.service.converge import wait_for
from skep.cli.service.lookups import payload_references, resolve_image, tag_image, warn
from skep.cli.service.progress import is_terminal
from skep.cli.stack import convert
from skep.cli.stack.convert import IMAGE, NAMESPACE, Stack
from skep.model.errors import Refusal

Json = dict[str, Any]
_STEP = 0.2


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How a stack is to be deployed. ``resolve`` is always, changed or never."""

    prune: bool = False
    resolve: str = "always"


def of_stack(stack: str) -> dict[str, str]:
    """The query for what belongs to a stack."""
    return filters({"label": [f"{NAMESPACE}={stack}"]})


def deploy(api: Api, stack: Stack, config: Json, wish: Wish) -> list[str]:
    """Make the cluster's part of a stack be what the configuration says; the services' ids."""
    if not (api.get("/info").get("Swarm") or {}).get("ControlAvailable"):
        raise Failure('this node is not a swarm manager. Use "skep swarm init" or "skep swarm join"'
                      " to connect this node to swarm and try again")  # fmt: skip
    if wish.prune:
        _prune(api, stack, config)
    bodies, external = convert.networks(stack, config)
    _check_external(api, external)
    _make_networks(api, stack, bodies)
    for noun in ("secret", "config"):
        _store(api, noun, convert.payloads(stack, config.get(f"{noun}s") or {}))
    specs = {name: _spec(api, stack, config, name) for name in config["services"]}
    return _deploy_services(api, stack, specs, wish)


def _spec(api: Api, stack: Stack, config: Json, name: str) -> Json:
    spec = convert.service_spec(stack, config, name)
    container = spec["TaskTemplate"]["ContainerSpec"]
    for noun in ("secret", "config"):
        wishes = convert.payload_wishes(stack, config, name, noun)
        found = payload_references(api, noun.capitalize(), wishes)
        found.sort(key=lambda each: str(each[f"{noun.capitalize()}Name"]))
        container[f"{noun.capitalize()}s"] = found
    return spec


def _prune(api: Api, stack: Stack, config: Json) -> None:
    kept = {stack.scoped(name) for name in config["services"]}
    for service in api.get("/services", **of_stack(stack.name)):
        if service["Spec"]["Name"] not in kept:
            print(f"Removing service {service['Spec']['Name']}", flush=True)
            try:
                api.delete(f"/services/{reference(service['ID'])}")
            except Refused as refused:
                warn(f"Failed to remove service {service['ID']}: {refused}")


def _check_external(api: Api, names: list[str]) -> None:
    for name in names:
        if not convert.is_user_defined(name):
            continue
        try:
            scope = api.get(f"/networks/{reference(name)}").get("Scope")
        except Refused as refused:
            if not refused.missing:
                raise
            raise Failure(f'network "{name}" is declared as external, but could not be found. You '
                          "need to create a swarm-scoped network before the stack is deployed"
                          ) from refused  # fmt: skip
        if scope != "swarm":
            raise Failure(f'network "{name}" is declared as external, but it is not in the right '
                          f'scope: "{scope}" instead of "swarm"')  # fmt: skip


def _make_networks(api: Api, stack: Stack, bodies: Mapping[str, Json]) -> None:
    there = {network["Name"] for network in api.get("/networks", **of_stack(stack.name))}
    for name, body in bodies.items():
        if name in there:
            continue
        print(f"Creating network {name}", flush=True)
        try:
            api.post("/networks/create", {"Name": name, **body})
        except Refused as refused:
            raise Failure(f"failed to create network {name}: {refused}") from refused


def _store(api: Api, noun: str, specs: list[Json]) -> None:
    for spec in specs:
        name = spec["Name"]
        try:
            found = api.get(f"/{noun}s/{reference(name)}")
        except Refused as refused:
            if not refused.missing:
                raise
            found = None
        try:
            if found is None:
                print(f"Creating {noun} {name}", flush=True)
                api.post(f"/{noun}s/create", spec)
            else:
                path = f"/{noun}s/{reference(found['ID'])}/update"
                api.post(path, spec, version=found["Version"]["Index"])
        except Refused as refused:
            verb = "create" if found is None else "update"
            raise Failure(f"failed to {verb} {noun} {name}: {refused}") from refused


def _deploy_services(api: Api, stack: Stack, specs: Mapping[str, Json], wish: Wish) -> list[str]:
    found = api.get("/services", **of_stack(stack.name))
    there = {service["Spec"]["Name"]: service for service in found}
    ids = []
    for spec in specs.values():
        name = spec["Name"]
        tag_image(spec)
        try:
            if name in there:
                print(f"Updating service {name} (id: {there[name]['ID']})", flush=True)
                ids.append(_update(api, there[name], spec, wish))
            else:
                print(f"Creating service {name}", flush=True)
                if wish.resolve != "never":
                    resolve_image(api, spec)
                ids.append(str(api.post("/services/create", spec)["ID"]))
        except Refused as refused:
            verb = "update" if name in there else "create"
            raise Failure(f"failed to {verb} service {name}: {refused}") from refused
    return ids


def _update(api: Api, service: Json, spec: Json, wish: Wish) -> str:
    now = service["Spec"]
    same = (now.get("Labels") or {}).get(IMAGE) == spec["Labels"][IMAGE]
    warning = ""
    if wish.resolve == "always" or (wish.resolve == "changed" and not same):
        warning = resolve_image(api, spec)
    elif same:
        # With its digest, so that nothing is started anew because of a name.
        image = now["TaskTemplate"]["ContainerSpec"]["Image"]
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = image
    spec["TaskTemplate"]["ForceUpdate"] = now["TaskTemplate"].get("ForceUpdate", 0)
    path = f"/services/{reference(service['ID'])}/update"
    acting.print_warnings(api.post(path, spec, version=service["Version"]["Index"]))
    warn(warning)
    return str(service["ID"])


def wait_for_all(api: Api, ids: list[str], *, quiet: bool) -> None:
    """Wait until all services run. Raises `Failure` naming those that do not."""
    complaints = []
    for identity in ids:
        try:
            wait_for(api, identity, quiet=quiet)
        except Refusal as refusal:
            complaints.append(f"{identity}: {refusal}")
    if complaints:
        raise Failure("\n".join(complaints))


def remove(api: Api, name: str, *, wait: bool) -> None:
    """Remove all that belongs to a stack. Raises `Failure` if some of it stays."""
    found = {noun: api.get(f"/{noun}s", **of_stack(name))
             for noun in ("service", "network", "secret", "config")}  # fmt: skip
    if not any(found.values()):
        warn(f"Nothing found in stack: {name}")
        return
    failed = False
    for noun in ("service", "secret", "config", "network"):
        for each in sorted(found[noun], key=_name):
            print(f"Removing {noun} {_name(each)}", flush=True)
            try:
                api.delete(f"/{noun}s/{reference(each.get('ID') or each['Id'])}")
            except Refused as refused:
                warn(f"Failed to remove {noun} {each.get('ID') or each['Id']}: {refused}")
                failed = True
    if failed:
        raise Failure(f"failed to remove some resources from stack: {name}")
    while wait and not all(map(is_terminal, api.get("/tasks", **of_stack(name)))):
        time.sleep(_STEP)


def _name(found: Json) -> str:
    name: str = found["Name"] if "Name" in found else found["Spec"]["Name"]
    return name
