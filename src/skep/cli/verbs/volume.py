"""``skep volume``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from skep.cli import acting
from skep.cli.acting import FILTER, FORCE, FORMAT, INSPECT_FORMAT, PRUNE_FILTER, wanted
from skep.cli.api import filters, reference
from skep.cli.command import Call, Command
from skep.cli.flags import LIST, SWITCH, Flag
from skep.cli.show.evaluate import Row
from skep.cli.show.listing import Table, columns
from skep.cli.show.order import natural
from skep.cli.show.rows import label_fields
from skep.cli.syntax.quantities import show_size
from skep.cli.verbs.network import MAP

_TABLE = Table(
    columns("Driver", "Name"),
    {
        "Name": "VOLUME NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "Mountpoint": "MOUNTPOINT",
        "Labels": "LABELS",
        "Links": "LINKS",
        "Size": "SIZE",
        "Group": "GROUP",
        "Availability": "AVAILABILITY",
        "Status": "STATUS",
    },
    quiet="Name",
)
_UNKNOWN = "N/A"


def row(volume: Mapping[str, Any]) -> Row:
    """The line of a volume."""
    usage = volume.get("UsageData") or {}
    return Row(
        Name=volume["Name"],
        Driver=volume.get("Driver", ""),
        Scope=volume.get("Scope", ""),
        Mountpoint=volume.get("Mountpoint", ""),
        Links=str(usage["RefCount"]) if usage else _UNKNOWN,
        Size=show_size(usage["Size"]) if usage else _UNKNOWN,
        Group=_UNKNOWN,
        Availability=_UNKNOWN,
        Status=_UNKNOWN,
        **label_fields(volume.get("Labels")),
    )


def _list(call: Call) -> None:
    found = call.api.get("/volumes", **wanted(call.options)).get("Volumes") or ()
    ordered = sorted(found, key=lambda volume: natural(volume["Name"]))
    acting.print_list(call, _TABLE, [row(volume) for volume in ordered])


def _inspect(call: Call) -> int:
    def fetch(name: str) -> tuple[str, Any]:
        text = call.api.raw(f"/volumes/{reference(name)}")
        return text, json.loads(text)

    return acting.inspect(call, fetch)


def _create(call: Call) -> None:
    options = call.options
    body = {
        "Name": call.arguments[0] if call.arguments else "",
        "Driver": options.text("driver", "local"),
        "DriverOpts": dict(options.all("opt")),
        "Labels": acting.labels(options.all("label")),
    }
    print(call.api.post("/volumes/create", body)["Name"])


def _remove(call: Call) -> None:
    force = call.options.switch("force")

    acting.for_each(
        call.arguments, lambda name: call.api.delete(f"/volumes/{reference(name)}", force=force)
    )


def _prune(call: Call) -> None:
    every = call.options.switch("all")
    which = "all local volumes" if every else "anonymous local volumes"
    warning = f"WARNING! This will remove {which} not used by at least one container."
    if not acting.confirmed(call, f"{warning}\nAre you sure you want to continue?"):
        return
    query = wanted(call.options, all=["true"]) if every else wanted(call.options)
    done = call.api.post("/volumes/prune", **(query or filters({})))
    removed = done.get("VolumesDeleted") or ()
    if removed:
        print("Deleted Volumes:\n" + "\n".join(removed) + "\n")
    print(f"Total reclaimed space: {show_size(done.get('SpaceReclaimed', 0))}")


COMMANDS = (
    Command(name="create", usage="[OPTIONS] [VOLUME]", run=_create, most=1,
            summary="Create a volume", flags=(
                Flag("driver", 'Specify volume driver name (default "local")', short="d"),
                Flag("label", "Set metadata for a volume", LIST),
                Flag("opt", "Set driver specific options", MAP, "o"))),
    Command(name="inspect", usage="[OPTIONS] VOLUME [VOLUME...]", run=_inspect, least=1, most=None,
            summary="Display detailed information on one or more volumes", completes="volume",
            flags=(INSPECT_FORMAT,)),
    Command(name="ls", usage="[OPTIONS]", run=_list, summary="List volumes", aliases=("list",),
            flags=(FILTER, FORMAT, Flag("quiet", "Only display volume names", SWITCH, "q"))),
    Command(name="prune", usage="[OPTIONS]", run=_prune, summary="Remove unused local volumes",
            flags=(Flag("all", "Remove all unused volumes, not just anonymous ones", SWITCH, "a"),
                   PRUNE_FILTER, FORCE)),
    Command(name="rm", usage="[OPTIONS] VOLUME [VOLUME...]", run=_remove, least=1, most=None,
            summary="Remove one or more volumes", aliases=("remove",), completes="volume",
            flags=(Flag("force", "Force the removal of one or more volumes", SWITCH, "f"),)),
)  # fmt: skip
