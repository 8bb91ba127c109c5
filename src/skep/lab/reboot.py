"""A host of a lab that ends at once, as if its power was cut, and starts again."""

from __future__ import annotations

import shutil

from skep.lab import cgroups, furnish, records, switch, system
from skep.lab.down import exclusive
from skep.lab.launch import launched
from skep.lab.layout import Lab
from skep.lab.status import find
from skep.lab.up import Tell, connect, wait_for_daemons
from skep.model.errors import Unsupported


def reboot(lab: Lab, name: str, patience: float, tell: Tell) -> None:
    """End all of a host's processes at once, and with them its namespaces, and start it again with
    the disk that it had.

    Raises `Missing` (no such lab or host), `Forbidden` (not root), `Unsupported` (its disk is
    memory), `Broken`, `Unavailable` (its daemon does not answer in time).
    """
    system.require_root()
    with exclusive():
        host = find(lab, name)
        record = records.lab_record(lab)
        assert record is not None, "a lab that has a host has a record"
        if any(system.file_system(own) == "overlay" for own in host.private.values()):
            raise Unsupported(
                f"{name} cannot be rebooted: {host.storage} is on an overlay file system, so the"
                " host's disk is memory, and would be lost; put it on another file system"
            )
        process = records.init_of(host)
        if process is not None:
            records.kill(process)
        tell(f"{name} is down")
        shutil.rmtree(host.run)
        switch.unplug(lab, host)
        cgroups.renew(host)
        furnish.prepare(host, lab.hosts(record.hosts))
        with launched((host,), record.command) as (launch,):
            connect(lab, host, launch)
    wait_for_daemons((host,), patience, tell)
