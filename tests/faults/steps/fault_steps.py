"""Steps of Skep's at which a fault lab can kill a process: before or after a named function.

A program under test is the one that users run; only its functions in `STEPS` are wrapped when their
module is imported. A wrapper looks for the file `ORDER`, whose one line says which step it is for::

    skep.engine.client:Engine.create after engine

Reaching that step renames the file to `DONE` and kills the victim with SIGKILL: ``self`` (the
process that has reached it), ``engine`` or ``dns``. Nothing of Skep's runs between the two.

A host's wall clock cannot be set without the machine's. So Skep's programs read theirs from here:
it is ahead of the real one by the seconds in the file `CLOCK`, or behind, if they are negative.
"""

import functools
import importlib.abc
import importlib.util
import inspect
import os
import signal
import sys
import time

ORDER = "/run/fault-step"
DONE = "/run/fault-step.done"
CLOCK = "/run/fault-clock"
VICTIMS = {"engine": ("podman", "service"), "dns": ("skep.dns.server",)}

STEPS = {
    "skep.agent.etc": ("EtcFiles.write",),
    "skep.agent.network": ("Network.prepare", "Network.join", "Network.part", "Network.forget"),
    "skep.agent.records": ("Records.put", "Records.drop"),
    "skep.agent.uplink": ("Uplink.attach", "Uplink.detach", "Uplink._adopt"),
    "skep.dns.client": ("DnsClient.sync",),
    "skep.dns.sandboxes": ("Sandboxes.adopt", "Sandboxes._open"),
    "skep.engine.client": ("Engine.create", "Engine.start", "Engine.stop", "Engine.remove"),
    "skep.kernel.batch": ("Batch.perform",),
    "skep.kernel.perform": ("Performer._add_namespace", "Performer._delete_namespace",
                            "Performer._change_table"),
    "skep.manager.manager": ("Manager._commit", "Manager.change"),
    "skep.manager.sessions": ("Sessions._publish", "Sessions._attach"),
    "skep.store.database": ("Database._write", "Database.apply"),
}  # fmt: skip


def reached(step, when):
    """A step was reached. Most often nobody has asked for that."""
    try:
        with open(ORDER) as file:
            wanted = file.read().split()
        if wanted[:2] != [step, when]:
            return
        os.rename(ORDER, DONE)
    except OSError:
        return
    victim = wanted[2]
    for pid in [os.getpid()] if victim == "self" else _running(VICTIMS[victim]):
        os.kill(pid, signal.SIGKILL)
        while victim != "self" and _alive(pid):
            time.sleep(0.001)


def _running(words):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                command = file.read().split("\0")
        except OSError:
            continue
        if set(words) <= set(command) and "setpriv" not in command:
            yield int(pid)


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def put_clock_forward():
    """Have `time.time` heed the file `CLOCK`."""
    real = time.time

    def shifted():
        try:
            with open(CLOCK) as file:
                return real() + float(file.read() or 0)
        except OSError:
            return real()

    time.time = shifted


def wrapped(function, step):
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def around(*args, **named):
            reached(step, "before")
            result = await function(*args, **named)
            reached(step, "after")
            return result
    else:

        @functools.wraps(function)
        def around(*args, **named):
            reached(step, "before")
            result = function(*args, **named)
            reached(step, "after")
            return result

    return around


class Interposer(importlib.abc.MetaPathFinder):
    """Wraps the functions in `STEPS` as soon as their modules have been loaded."""

    def find_spec(self, name, path=None, target=None):
        if name not in STEPS:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            for step in STEPS[name]:
                holder, _, function = step.partition(".")
                owner = getattr(module, holder)
                setattr(owner, function, wrapped(getattr(owner, function), f"{name}:{step}"))

        spec.loader.exec_module = exec_module
        return spec
