"""``skep node``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from skep.cli import acting
from skep.cli.acting import FILTER, INSPECT_FORMAT, NO_TRUNC, PRETTY, QUIET, wanted
from skep.cli.api import Api, reference
from skep.cli.command import FAILED, Call, Command, Failure
from skep.cli.flags import LIST, SWITCH, Flag, Options
from skep.cli.show import tasks as task_list
from skep.cli.show.evaluate import Row
from skep.cli.show.functions import with_instants
from skep.cli.show.listing import Table
from skep.cli.show.order import natural
from skep.cli.show.prettynode import pretty_node
from skep.cli.show.rows import first_upper
from skep.model.errors import Invalid, Refusal

_TABLE = Table(
    r"{{.ID}} {{if .Self}}*{{else}} {{ end }}\t{{.Hostname}}\t{{.Status}}\t{{.Availability}}"
    r"\t{{.ManagerStatus}}\t{{.EngineVersion}}",
    {
        "ID": "ID",
        "Self": "",
        "Hostname": "HOSTNAME",
        "Status": "STATUS",
        "Availability": "AVAILABILITY",
        "ManagerStatus": "MANAGER STATUS",
        "EngineVersion": "ENGINE VERSION",
        "TLSStatus": "TLS STATUS",
    },
)


def row(node: Mapping[str, Any], info: Mapping[str, Any]) -> Row:
    """The line of a node."""
    description = node.get("Description", {})
    manager = node.get("ManagerStatus") or {}
    reach = "leader" if manager.get("Leader") else manager.get("Reachability", "")
    swarm = info.get("Swarm", {})
    return Row(
        ID=node["ID"],
        Self=node["ID"] == swarm.get("NodeID"),
        Hostname=description.get("Hostname", ""),
        Status=first_upper(node.get("Status", {}).get("State", "")),
        Availability=first_upper(node.get("Spec", {}).get("Availability", "")),
        ManagerStatus=first_upper(reach),
        EngineVersion=description.get("Engine", {}).get("EngineVersion", ""),
        TLSStatus=_tls(description.get("TLSInfo") or {}, swarm),
    )


def _tls(mine: Mapping[str, Any], swarm: Mapping[str, Any]) -> str:
    ours = (swarm.get("Cluster") or {}).get("TLSInfo") or {}
    if not ours or not mine:
        return "Unknown"
    return "Ready" if ours == mine else "Needs Rotation"


def _list(call: Call) -> None:
    nodes = call.api.get("/nodes", **wanted(call.options))
    info = {} if call.options.switch("quiet") or not nodes else call.api.get("/info")
    ordered = sorted(nodes, key=lambda node: natural(node["Description"].get("Hostname", "")))
    acting.print_list(call, _TABLE, [row(node, info) for node in ordered])


def known_as(api: Api, name: str) -> str:
    """A node's reference; "self" is the host that is asked. Raises `Failure` if it is none."""
    if name != "self":
        return name
    node: str = api.get("/info").get("Swarm", {}).get("NodeID", "")
    if not node:
        api.get("/nodes")
        raise Failure("node ID not found in /info")
    return node


def _inspect(call: Call) -> int:
    def fetch(name: str) -> tuple[str, Any]:
        text = call.api.raw(f"/nodes/{reference(known_as(call.api, name))}")
        return text, with_instants(json.loads(text))

    if not call.options.switch("pretty"):
        return acting.inspect(call, fetch, fault_code=FAILED)
    found = [fetch(name)[1] for name in call.arguments]
    print("\n".join(map(pretty_node, found)))
    return 0


def _tasks(call: Call) -> None:
    complaints: list[str] = []
    found: list[Mapping[str, Any]] = []
    for name in call.arguments or ("self",):
        try:
            node = call.api.get(f"/nodes/{reference(known_as(call.api, name))}")
            found += call.api.get("/tasks", **wanted(call.options, node=[node["ID"]]))
        except Refusal as refusal:
            complaints.append(str(refusal))
    if found or not complaints:
        show_tasks(call, found)
    if complaints:
        raise Failure("\n".join(complaints))


def show_tasks(call: Call, tasks: list[Mapping[str, Any]], *, whole_ids: bool = False) -> None:
    """Print a list of tasks as the options say."""
    names = task_list.Names(call.api, resolve=not call.options.switch("no-resolve"))
    full = call.options.switch("no-trunc") or whole_ids
    indent = call.options.text("format", "table").startswith("table")
    rows = task_list.rows(tasks, names, full=full, indent=indent)
    acting.print_list(call, task_list.TABLE, rows)


def _change(call: Call, names: tuple[str, ...], change: Callable[[dict[str, Any]], str]) -> None:
    """Read nodes, change their specs, write them; print what ``change`` says."""
    for name in names:
        node = call.api.get(f"/nodes/{reference(name)}")
        spec = node["Spec"]
        said = change(spec)
        if said.startswith("!"):
            print(said[1:].format(node["ID"]))
            continue
        path = f"/nodes/{reference(node['ID'])}/update"
        call.api.post(path, spec, version=node["Version"]["Index"])
        print(said.format(name))


def changed_spec(spec: dict[str, Any], options: Options) -> None:
    """Change a node's spec as the options of ``node update`` say. Raises `Invalid`."""
    for option, member in (("role", "Role"), ("availability", "Availability")):
        if options.has(option):
            spec[member] = options.text(option).lower()
    known = spec.setdefault("Labels", {}) or {}
    known.update(acting.labels(options.all("label-add")))
    for key in options.all("label-rm"):
        if key not in known:
            raise Invalid(f"key {key} doesn't exist in node's labels")
        del known[key]
    spec["Labels"] = known


def _update(call: Call) -> None:
    def change(spec: dict[str, Any]) -> str:
        changed_spec(spec, call.options)
        return "{}"

    _change(call, call.arguments, change)


def _promote(call: Call) -> None:
    def change(spec: dict[str, Any]) -> str:
        if spec.get("Role") == "manager":
            return "!Node {} is already a manager."
        spec["Role"] = "manager"
        return "Node {} promoted to a manager in the swarm."

    _change(call, call.arguments, change)


def _demote(call: Call) -> None:
    def change(spec: dict[str, Any]) -> str:
        if spec.get("Role") == "worker":
            return "!Node {} is already a worker."
        spec["Role"] = "worker"
        return "Manager {} demoted in the swarm."

    _change(call, call.arguments, change)


def _remove(call: Call) -> None:
    force = call.options.switch("force")
    acting.for_each(
        call.arguments, lambda name: call.api.delete(f"/nodes/{reference(name)}", force=force)
    )


TASK_FLAGS = (
    FILTER,
    Flag("format", "Pretty-print tasks using a Go template"),
    Flag("no-resolve", "Do not map IDs to Names", SWITCH),
    NO_TRUNC,
    QUIET,
)
_UPDATE_FLAGS = (
    Flag("availability", 'Availability of the node ("active", "pause", "drain")'),
    Flag("label-add", 'Add or update a node label ("key=value")', LIST),
    Flag("label-rm", "Remove a node label if exists", LIST),
    Flag("role", 'Role of the node ("worker", "manager")'),
)
COMMANDS = (
    Command(name="demote", usage="NODE [NODE...]", run=_demote, least=1, most=None,
            completes="node", summary="Demote one or more nodes from manager in the swarm"),
    Command(name="inspect", usage="[OPTIONS] self|NODE [NODE...]", run=_inspect, least=1,
            most=None, completes="node", flags=(INSPECT_FORMAT, PRETTY),
            summary="Display detailed information on one or more nodes"),
    Command(name="ls", usage="[OPTIONS]", run=_list, aliases=("list",),
            summary="List nodes in the swarm", flags=acting.list_flags()),
    Command(name="promote", usage="NODE [NODE...]", run=_promote, least=1, most=None,
            completes="node", summary="Promote one or more nodes to manager in the swarm"),
    Command(name="ps", usage="[OPTIONS] [NODE...]", run=_tasks, most=None, completes="node",
            flags=TASK_FLAGS,
            summary="List tasks running on one or more nodes, defaults to current node"),
    Command(name="rm", usage="[OPTIONS] NODE [NODE...]", run=_remove, least=1, most=None,
            aliases=("remove",), completes="node",
            summary="Remove one or more nodes from the swarm",
            flags=(Flag("force", "Force remove a node from the swarm", SWITCH, "f"),)),
    Command(name="update", usage="[OPTIONS] NODE", run=_update, least=1, most=1, completes="node",
            summary="Update a node", flags=_UPDATE_FLAGS),
)  # fmt: skip
