"""What many commands have in common: one thing after another, lists, and looking closely."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from skep.cli.api import filters
from skep.cli.command import Call, Failure
from skep.cli.flags import SWITCH, Flag, Kind, Options
from skep.cli.show.evaluate import Row, Template
from skep.cli.show.jsontext import compact, indented
from skep.cli.show.listing import Table, show_list
from skep.model.errors import Invalid, Refusal

FORMAT = Flag("format", 'Format output: "table", "table TEMPLATE", "json" or a Go template')
INSPECT_FORMAT = Flag("format", 'Format output: "json" or a Go template', short="f")
QUIET = Flag("quiet", "Only display IDs", SWITCH, "q")
NO_TRUNC = Flag("no-trunc", "Do not truncate output", SWITCH)
PRETTY = Flag("pretty", "Print the information in a human friendly format", SWITCH)
FORCE = Flag("force", "Do not prompt for confirmation", SWITCH, "f")
TEMPLATE_FAULT = 64
"""What docker exits with when a template makes no sense, if it looks at that by itself."""


def filter_word(text: str) -> tuple[str, str]:
    """A ``--filter``: key and value."""
    key, given, value = text.partition("=")
    if not given:
        raise Invalid("bad format of filter (expected name=value)")
    return key.strip().lower(), value.strip()


FILTER_KIND = Kind("filter", filter_word, many=True)
FILTER = Flag("filter", "Filter output based on conditions provided", FILTER_KIND, "f")
PRUNE_FILTER = Flag("filter", 'Provide filter values (e.g. "until=<timestamp>")', FILTER_KIND)


def wanted(options: Options, **more: Iterable[str]) -> dict[str, str]:
    """The query of ``--filter`` and of what the command itself narrows down to."""
    found: dict[str, list[str]] = {key: list(values) for key, values in more.items()}
    for key, value in options.all("filter"):
        found.setdefault(key, []).append(value)
    return filters(found)


def print_list(call: Call, table: Table, rows: Sequence[Row]) -> None:
    """Print a list as the options say."""
    form = call.options.text("format")
    print(show_list(table, rows, form, quiet=call.options.switch("quiet")), end="")


def for_each(
    names: Iterable[str], act: Callable[[str], Any], *, silent: bool = False, mark: str = ""
) -> None:
    """Do something to one after another, printing each name unless ``act`` answers False; what is
    refused does not stop the rest. Raises `Failure` with all complaints."""
    complaints = []
    for name in names:
        try:
            done = act(name)
        except Refusal as refusal:
            complaints.append(f"{mark}{refusal}")
        else:
            if done is not False and not silent:
                print(name, flush=True)
    if complaints:
        raise Failure("\n".join(complaints))


def labels(words: Iterable[str]) -> dict[str, str]:
    """Labels of ``key=value`` words; a key alone has the value ""."""
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def inspect(
    call: Call, fetch: Callable[[str], tuple[str, Any]], *, fault_code: int = TEMPLATE_FAULT
) -> int:
    """Print objects as JSON or through a template, as ``docker inspect`` does; the exit code.

    ``fetch`` answers an object's JSON text and value. What is missing does not stop the rest. A
    template that makes no sense ends it with ``fault_code``.
    """
    form = call.options.text("format")
    try:
        template = None if form in ("", "json") else Template(form)
    except Invalid as fault:
        raise Failure(str(fault), fault_code) from fault
    texts: list[str] = []
    complaints: list[str] = []
    for name in call.arguments:
        try:
            text, value = fetch(name)
            texts.append(text if template is None else _filled(template, value))
        except Refusal as refusal:
            complaints.append(str(refusal))
    if template is not None:
        print("".join(f"{text}\n" for text in texts), end="")
    elif form == "json":
        print(compact(f"[{','.join(texts)}]"))
    else:
        print(indented(f"[{','.join(texts)}]"))
    if complaints:
        sys.stdout.flush()
        raise Failure("\n".join(complaints))
    return 0


def _filled(template: Template, value: Any) -> str:
    try:
        return template.fill(value)
    except Invalid as fault:
        raise Failure(str(fault)) from fault


def confirmed(call: Call, warning: str) -> bool:
    """Whether the user agrees; asked on the terminal unless ``--force``."""
    if call.options.switch("force"):
        return True
    print(f"{warning} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def print_warnings(answer: Any) -> None:
    """What the daemon found worth saying about something it did."""
    warnings = (answer or {}).get("Warnings") or ()
    for warning in warnings:
        print(warning, file=sys.stderr)


def list_flags(*more: Flag) -> tuple[Flag, ...]:
    """The options of a listing."""
    return (FILTER, FORMAT, *more, QUIET)
