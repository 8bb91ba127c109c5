"""Secrets and configs: the same commands but for their names, and that a config can be read."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from skep.cli import acting
from skep.cli.acting import INSPECT_FORMAT, PRETTY, wanted
from skep.cli.api import reference
from skep.cli.command import FAILED, Call, Command, Failure
from skep.cli.flags import LIST, Flag
from skep.cli.show.evaluate import Row
from skep.cli.show.functions import Octets, with_instants
from skep.cli.show.listing import Table, columns
from skep.cli.show.order import natural
from skep.cli.show.rows import label_fields
from skep.cli.show.times import ago, go_text, instant

_HEADINGS = {
    "ID": "ID",
    "Name": "NAME",
    "CreatedAt": "CREATED",
    "UpdatedAt": "UPDATED",
    "Labels": "LABELS",
}


_GAP = " " * 12 + "\t"


class Payload(msgspec.Struct, frozen=True):
    """A kind of object that tasks get as a file: its noun, and whether it has a driver."""

    noun: str
    secret: bool

    @property
    def path(self) -> str:
        """Where the API has them."""
        return f"/{self.noun}s"

    @property
    def table(self) -> Table:
        """Their listing."""
        if not self.secret:
            return Table(columns("ID", "Name", "CreatedAt", "UpdatedAt"), _HEADINGS)
        names = ("ID", "Name", "Driver", "CreatedAt", "UpdatedAt")
        return Table(columns(*names), {**_HEADINGS, "Driver": "DRIVER"})

    def commands(self) -> tuple[Command, ...]:
        """Their commands."""
        noun, title = self.noun, self.noun.upper()
        source = "[file|-]" if self.secret else "file|-"
        template = Flag("template-driver", "Template driver")
        label = Flag("label", f"{noun.capitalize()} labels", LIST, "l")
        driver = Flag("driver", "Secret driver", short="d")
        return (
            Command(name="create", usage=f"[OPTIONS] {title} {source}",
                    summary=f"Create a {noun} from a file or STDIN", run=self._create,
                    least=1 if self.secret else 2, most=2,
                    flags=(driver, label, template) if self.secret else (label, template)),
            Command(name="inspect", usage=f"[OPTIONS] {title} [{title}...]", run=self._inspect,
                    summary=f"Display detailed information on one or more {noun}s", least=1,
                    most=None, completes=noun, flags=(INSPECT_FORMAT, PRETTY)),
            Command(name="ls", usage="[OPTIONS]", summary=f"List {noun}s", run=self._list,
                    aliases=("list",), flags=acting.list_flags()),
            Command(name="rm", usage=f"{title} [{title}...]", run=self._remove, least=1, most=None,
                    summary=f"Remove one or more {noun}s", aliases=("remove",), completes=noun),
        )  # fmt: skip

    def _list(self, call: Call) -> None:
        found = call.api.get(self.path, **wanted(call.options))
        acting.print_list(call, self.table, self._rows(found))

    def _rows(self, found: Sequence[Mapping[str, Any]]) -> list[Row]:
        ordered = sorted(found, key=lambda each: natural(each["Spec"]["Name"]))
        return [self._row(each, time.time()) for each in ordered]

    def _row(self, found: Mapping[str, Any], now: float) -> Row:
        spec = found["Spec"]
        row = Row(
            ID=found["ID"],
            Name=spec["Name"],
            CreatedAt=ago(now - instant(found["CreatedAt"])),
            UpdatedAt=ago(now - instant(found["UpdatedAt"])),
            **label_fields(spec.get("Labels")),
        )
        if self.secret:
            row["Driver"] = (spec.get("Driver") or {}).get("Name", "")
        return row

    def _create(self, call: Call) -> None:
        name, *source = call.arguments
        driver = call.options.text("driver")
        if not source and not driver:
            raise Failure("secret file is required")
        if source and driver:
            raise Failure("When using secret driver secret data must be empty")
        body: dict[str, Any] = {"Name": name, "Labels": acting.labels(call.options.all("label"))}
        if source:
            body["Data"] = base64.b64encode(self._content(source[0])).decode()
        if driver:
            body["Driver"] = {"Name": driver}
        if call.options.text("template-driver"):
            body["Templating"] = {"Name": call.options.text("template-driver")}
        print(call.api.post(f"{self.path}/create", body)["ID"])

    def _remove(self, call: Call) -> None:
        acting.for_each(
            call.arguments, lambda name: call.api.delete(f"{self.path}/{reference(name)}")
        )

    def _inspect(self, call: Call) -> int:
        def fetch(name: str) -> tuple[str, Any]:
            text = call.api.raw(f"{self.path}/{reference(name)}")
            value = with_instants(json.loads(text))
            if value["Spec"].get("Data"):
                value["Spec"]["Data"] = Octets(value["Spec"]["Data"])
            return text, value

        if not call.options.switch("pretty"):
            return acting.inspect(call, fetch, fault_code=FAILED)
        found = [fetch(name)[1] for name in call.arguments]
        print("\n".join(map(self._pretty, found)))
        return 0

    def _pretty(self, found: Mapping[str, Any]) -> str:
        spec = found["Spec"]
        labels = spec.get("Labels") or {}
        gap, wide, last = (" " * 14, " " * 12, " " * 8) if self.secret else ("\t\t\t", "", _GAP)
        lines = [f"ID:{gap}{found['ID']}", f"Name:{gap}{spec['Name']}"]
        if labels:
            lines.append("Labels:")
            lines += [f" - {key}={labels[key]}" if labels[key] else f" - {key}"
                      for key in sorted(labels)]  # fmt: skip
        if self.secret:
            lines.append(f"Driver:{wide}{(spec.get('Driver') or {}).get('Name', '')}")
        lines.append(f"Created at:{last}{go_text(found['CreatedAt'])}")
        lines.append(f"Updated at:{last}{go_text(found['UpdatedAt'])}")
        if not self.secret:
            data = base64.b64decode(spec.get("Data") or "").decode(errors="replace")
            lines.append(f"Data:\n{data}")
        return "\n".join(lines)

    def _content(self, source: str) -> bytes:
        mark = "" if self.secret else f'Error reading content from "{source}": '
        where = "STDIN" if source == "-" else source
        try:
            data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        except OSError as error:
            reason = f"open {source}: {(error.strerror or '').lower()}"
            raise Failure(f"{mark}error reading from {source}: {reason}") from error
        if not data:
            raise Failure(f"{mark}error reading from {where}: data is empty")
        return data
