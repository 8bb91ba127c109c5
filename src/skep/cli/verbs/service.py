"""``skep service``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from skep.cli import acting
from skep.cli.acting import INSPECT_FORMAT, PRETTY, wanted
from skep.cli.api import Api, Refused, filters, reference
from skep.cli.command import FAILED, Call, Command, Failure
from skep.cli.flags import SWITCH, TEXT, Flag
from skep.cli.service.converge import wait_for
from skep.cli.service.create import new_spec
from skep.cli.service.fields import CREATE_FLAGS, UPDATE_FLAGS, WAITING
from skep.cli.service.logs import show_logs
from skep.cli.service.lookups import resolve_image, tag_image, warn
from skep.cli.service.update import change_spec
from skep.cli.show import services
from skep.cli.show.functions import with_instants
from skep.cli.show.prettyservice import pretty_service
from skep.cli.verbs.node import TASK_FLAGS, known_as, show_tasks
from skep.model.errors import Refusal


def _create(call: Call) -> None:
    spec = new_spec(call.api, call.arguments, call.options)
    tag_image(spec)
    warning = ""
    if not call.options.switch("no-resolve-image"):
        warning = resolve_image(call.api, spec)
    answer = call.api.post("/services/create", spec)
    acting.print_warnings(answer)
    warn(warning)
    print(answer["ID"], flush=True)
    _wait(call, answer["ID"])


def _wait(call: Call, name: str) -> None:
    if not call.options.switch("detach"):
        wait_for(call.api, name, quiet=call.options.switch("quiet"))


def service(api: Api, name: str) -> dict[str, Any]:
    """A service as it is stored. Raises `Refused`."""
    found: dict[str, Any] = api.get(f"/services/{reference(name)}", insertDefaults="false")
    return found


def write(api: Api, found: Mapping[str, Any], **query: str) -> None:
    """Store a service's changed spec."""
    path = f"/services/{reference(found['ID'])}/update"
    answer = api.post(path, found["Spec"], version=found["Version"]["Index"], **query)
    acting.print_warnings(answer)


def _update(call: Call) -> None:
    name = call.arguments[0]
    found = service(call.api, name)
    query = {} if call.options.switch("with-registry-auth") else {"registryAuthFrom": "spec"}
    warning = ""
    if call.options.switch("rollback"):
        if set(call.options.names) - {"rollback", "detach", "quiet"}:
            raise Failure("other flags may not be combined with --rollback")
        query["rollback"] = "previous"
    else:
        change_spec(call.api, found["Spec"], call.options)
        if call.options.has("image"):
            tag_image(found["Spec"])
            if not call.options.switch("no-resolve-image"):
                warning = resolve_image(call.api, found["Spec"])
    write(call.api, found, **query)
    warn(warning)
    print(name, flush=True)
    _wait(call, name)


def _rollback(call: Call) -> None:
    name = call.arguments[0]
    write(call.api, service(call.api, name), rollback="previous")
    print(name, flush=True)
    _wait(call, name)


def _scale(call: Call) -> None:
    complaints: list[str] = []
    scaled: list[str] = []
    for word in call.arguments:
        name, given, _ = word.partition("=")
        if not given:
            raise Failure(f"invalid scale specifier '{word}'.\nSee 'skep service scale --help'.\n\n"
                          "Usage:  skep service scale SERVICE=REPLICAS [SERVICE=REPLICAS...]\n\n"
                          "Scale one or multiple replicated services")  # fmt: skip
    for word in call.arguments:
        name, _, count = word.partition("=")
        try:
            _scale_one(call.api, name, count)
        except Refusal as refusal:
            complaints.append(f"{name}: {refusal}")
        else:
            print(f"{name} scaled to {count}", flush=True)
            scaled.append(name)
    if not call.options.switch("detach"):
        for name in scaled:
            wait_for(call.api, name)
    if complaints:
        raise Failure("\n".join(complaints))


def _scale_one(api: Api, name: str, count: str) -> None:
    if not count.isdigit():
        raise Failure(f'invalid replicas value {count}: strconv.ParseUint: parsing "{count}": '
                      "invalid syntax")  # fmt: skip
    found = service(api, name)
    mode = found["Spec"]["Mode"]
    if mode.get("Replicated") is not None:
        mode["Replicated"]["Replicas"] = int(count)
    elif mode.get("ReplicatedJob") is not None:
        mode["ReplicatedJob"]["TotalCompletions"] = int(count)
    else:
        raise Failure("scale can only be used with replicated or replicated-job mode")
    write(api, found)


def _list(call: Call) -> None:
    status = not call.options.switch("quiet")
    found = call.api.get("/services", status=status and "true", **wanted(call.options))
    acting.print_list(call, services.TABLE, services.rows(found))


def _tasks(call: Call) -> None:
    ids, missing = _ids(call.api, call.arguments)
    if ids:
        query = _with_node(call, wanted(call.options, service=ids))
        # Of the three lists of tasks, docker's --quiet shortens the others' ids.
        whole = call.options.switch("quiet")
        show_tasks(call, call.api.get("/tasks", **query), whole_ids=whole)
    if missing:
        raise Failure("\n".join(f"no such service: {name}" for name in missing))


def _with_node(call: Call, query: dict[str, str]) -> dict[str, str]:
    """The filter ``node=self`` means the host that is asked."""
    found = json.loads(query["filters"])
    if "node" in found:
        found["node"] = {known_as(call.api, name): True for name in found["node"]}
    return {"filters": json.dumps(found, separators=(",", ":"))}


def _ids(api: Api, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The ids of services that are named, by id, name or the beginning of an id; and the names
    that are none."""
    words = list(names)
    by_id = api.get("/services", **filters({"id": words}))
    by_name = api.get("/services", **filters({"name": words}))
    ids: list[str] = []
    missing: list[str] = []
    for word in words:
        found = next((each["ID"] for each in by_id if each["ID"] == word), "")
        found = found or next((each["ID"] for each in by_name if each["Spec"]["Name"] == word), "")
        started = [each["ID"] for each in by_id if each["ID"].startswith(word)]
        found = found or (started[0] if started else "")
        (ids if found else missing).append(found or word)
    return ids, missing


def _inspect(call: Call) -> int:
    def fetch(name: str) -> tuple[str, Any]:
        try:
            text = call.api.raw(f"/services/{reference(name)}", insertDefaults="true")
        except Refused as refused:
            if refused.missing:
                raise Failure(f"Error: no such service: {name}") from refused
            raise
        return text, with_instants(json.loads(text))

    if not call.options.switch("pretty"):
        return acting.inspect(call, fetch, fault_code=FAILED)
    if call.options.text("format"):
        raise Failure("--format is incompatible with human friendly format")
    for found in [fetch(name)[1] for name in call.arguments]:
        attached = found["Spec"].get("TaskTemplate", {}).get("Networks") or ()
        networks = {each["Target"]: _network_name(call.api, each["Target"]) for each in attached}
        print(pretty_service(found, networks))
    return 0


def _network_name(api: Api, identity: str) -> str:
    try:
        name: str = api.get(f"/networks/{reference(identity)}", scope="swarm")["Name"]
    except Refused:
        return identity
    return name


def _remove(call: Call) -> None:
    acting.for_each(call.arguments, lambda name: call.api.delete(f"/services/{reference(name)}"))


LOG_FLAGS = (
    Flag("details", "Show extra details provided to logs", SWITCH),
    Flag("follow", "Follow log output", SWITCH, "f"),
    Flag("since", 'Show logs since timestamp or relative (e.g. "42m" for 42 minutes)'),
    Flag("tail", 'Number of lines to show from the end of the logs (default "all")', TEXT, "n"),
    Flag("timestamps", "Show timestamps", SWITCH, "t"),
)
_LOG_FLAGS = (
    *LOG_FLAGS,
    Flag("no-resolve", "Do not map IDs to Names in output", SWITCH),
    Flag("no-task-ids", "Do not include task IDs in output", SWITCH),
    Flag("no-trunc", "Do not truncate output", SWITCH),
    Flag("raw", "Do not neatly format logs", SWITCH),
)
COMMANDS = (
    Command(name="create", usage="[OPTIONS] IMAGE [COMMAND] [ARG...]", run=_create, least=1,
            most=None, summary="Create a new service", flags=CREATE_FLAGS, completes="image",
            interspersed=False),
    Command(name="inspect", usage="[OPTIONS] SERVICE [SERVICE...]", run=_inspect, least=1,
            most=None, summary="Display detailed information on one or more services",
            completes="service", flags=(INSPECT_FORMAT, PRETTY)),
    Command(name="logs", usage="[OPTIONS] SERVICE|TASK", run=show_logs, least=1, most=1,
            summary="Fetch the logs of a service or task", completes="service",
            flags=_LOG_FLAGS),
    Command(name="ls", usage="[OPTIONS]", run=_list, summary="List services", aliases=("list",),
            flags=acting.list_flags()),
    Command(name="ps", usage="[OPTIONS] SERVICE [SERVICE...]", run=_tasks, least=1, most=None,
            summary="List the tasks of one or more services", completes="service",
            flags=TASK_FLAGS),
    Command(name="rm", usage="SERVICE [SERVICE...]", run=_remove, least=1, most=None,
            summary="Remove one or more services", aliases=("remove",), completes="service"),
    Command(name="rollback", usage="[OPTIONS] SERVICE", run=_rollback, least=1, most=1,
            summary="Revert changes to a service's configuration", completes="service",
            flags=WAITING),
    Command(name="scale", usage="SERVICE=REPLICAS [SERVICE=REPLICAS...]", run=_scale, least=1,
            most=None, summary="Scale one or multiple replicated services", completes="service",
            flags=WAITING[:1]),
    Command(name="update", usage="[OPTIONS] SERVICE", run=_update, least=1, most=1,
            summary="Update a service", completes="service", flags=UPDATE_FLAGS),
)  # fmt: skip
