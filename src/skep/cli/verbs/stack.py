"""``skep stack``."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from skep.cli import acting
from skep.cli.acting import FILTER, FORMAT, NO_TRUNC, QUIET, wanted
from skep.cli.api import filters
from skep.cli.command import Call, Command, Failure
from skep.cli.flags import STRINGS, SWITCH, Flag
from skep.cli.show import services
from skep.cli.show.evaluate import Row
from skep.cli.show.listing import Table, columns
from skep.cli.show.order import natural
from skep.cli.stack import deploy, loading, yamlfile
from skep.cli.stack.convert import NAMESPACE, Stack
from skep.cli.stack.deploy import Wish
from skep.cli.syntax.images import image_name
from skep.cli.verbs.node import show_tasks
from skep.model.errors import Invalid

_TABLE = Table(columns("Name", "Services"), {"Name": "NAME", "Services": "SERVICES"}, quiet="Name")
_RESOLVE = ("always", "changed", "never")


def stack_name(name: str) -> str:
    """The name, if a stack may have it. Raises `Failure`."""
    if not name.strip("'\" \t\n"):
        raise Failure(f'invalid stack name: "{name}"')
    return name


def _check_images(config: dict[str, Any]) -> None:
    """Before anything is made. Raises `Failure`."""
    for name, service in config["services"].items():
        image = service.get("image", "")
        try:
            if not image:
                raise Invalid("no image specified")
            image_name(image)
        except Invalid as fault:
            raise Failure(f"invalid image reference for service {name}: {fault}") from fault


def _deploy(call: Call) -> int:
    options = call.options
    name = stack_name(call.arguments[0])
    resolve = options.text("resolve-image", "always")
    documents, place = loading.read_files(options.all("compose-file"))
    try:
        config = loading.configuration(documents, place)
    except loading.Forbidden as forbidden:
        raise Failure(forbidden.explained) from forbidden
    _check_images(config)
    loading.warn_of_ignored(documents)
    if resolve not in _RESOLVE:
        raise Failure(f"Invalid option {resolve} for flag --resolve-image")
    detached = options.get("detach")
    if detached is None:
        print("Since --detach=false was not specified, tasks will be created in the background.\n"
              "In a future release, --detach=false will become the default.",
              file=sys.stderr)  # fmt: skip
    wish = Wish(prune=options.switch("prune"), resolve=resolve)
    ids = deploy.deploy(call.api, Stack(name), config, wish)
    if detached is False:
        deploy.wait_for_all(call.api, ids, quiet=options.switch("quiet"))
    return 0


def _config(call: Call) -> None:
    documents, place = loading.read_files(call.options.all("compose-file"))
    fill = not call.options.switch("skip-interpolation")
    config = loading.configuration(documents, place, fill=fill)
    for service in config["services"].values():
        service.pop("oom_score_adj", None)
    print(yamlfile.write(config), end="")


def _list(call: Call) -> None:
    found = call.api.get("/services", **filters({"label": [NAMESPACE]}))
    counted = Counter(service["Spec"]["Labels"][NAMESPACE] for service in found)
    rows = [Row(Name=name, Services=str(counted[name])) for name in sorted(counted, key=natural)]
    acting.print_list(call, _TABLE, rows)


def _tasks(call: Call) -> None:
    name = stack_name(call.arguments[0])
    query = wanted(call.options, label=[f"{NAMESPACE}={name}"])
    found = call.api.get("/tasks", **query)
    if not found:
        raise Failure(f"nothing found in stack: {name}")
    show_tasks(call, found)


def _services(call: Call) -> None:
    name = stack_name(call.arguments[0])
    query: dict[str, Any] = wanted(call.options, label=[f"{NAMESPACE}={name}"])
    status = not call.options.switch("quiet") and "true"
    found = call.api.get("/services", status=status, **query)
    if not found:
        print(f"Nothing found in stack: {name}", file=sys.stderr)
        return
    acting.print_list(call, services.TABLE, services.rows(found))


def _remove(call: Call) -> None:
    wait = call.options.get("detach", True) is False
    for name in map(stack_name, call.arguments):
        deploy.remove(call.api, name, wait=wait)


_FILES = Flag("compose-file", 'Path to a Compose file, or "-" to read from stdin', STRINGS, "c")
COMMANDS = (
    Command(name="config", usage="[OPTIONS]", run=_config, flags=(
                _FILES, Flag("skip-interpolation", "Output only merged config", SWITCH)),
            summary="Outputs the final config file, after doing merges and interpolations"),
    Command(name="deploy", usage="[OPTIONS] STACK", run=_deploy, least=1, most=1,
            summary="Deploy a new stack or update an existing stack", aliases=("up",),
            completes="stack", flags=(
                _FILES,
                Flag("detach", "Exit immediately instead of waiting (default true)", SWITCH, "d"),
                Flag("prune", "Prune services that are no longer referenced", SWITCH),
                Flag("quiet", "Suppress progress output", SWITCH, "q"),
                Flag("resolve-image", 'Query the registry ("always", "changed", "never")'),
                Flag("with-registry-auth", "Send registry authentication details", SWITCH))),
    Command(name="ls", usage="[OPTIONS]", run=_list, summary="List stacks", aliases=("list",),
            flags=(FORMAT,)),
    Command(name="ps", usage="[OPTIONS] STACK", run=_tasks, least=1, most=1,
            summary="List the tasks in the stack", completes="stack", flags=(
                FILTER, FORMAT, Flag("no-resolve", "Do not map IDs to Names", SWITCH), NO_TRUNC,
                QUIET)),
    Command(name="rm", usage="[OPTIONS] STACK [STACK...]", run=_remove, least=1, most=None,
            summary="Remove one or more stacks", aliases=("remove", "down"), completes="stack",
            flags=(Flag("detach", "Do not wait for stack removal (default true)", SWITCH, "d"),)),
    Command(name="services", usage="[OPTIONS] STACK", run=_services, least=1, most=1,
            summary="List the services in the stack", completes="stack",
            flags=(FILTER, FORMAT, QUIET)),
)  # fmt: skip
