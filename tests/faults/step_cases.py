"""One kill at one step of one operation: what there is to choose from, and how it is judged."""

import subprocess
import sys
import threading

import pytest
from audit import right
from fault_steps import DONE, ORDER, STEPS
from swarm_lab import until

AGENT, MANAGER = "h2", "h1"
NETWORK, ENGINE = "skep.agent.network:Network", "skep.engine.client:Engine"
RECORDS, UPLINK = "skep.agent.records:Records", "skep.agent.uplink:Uplink"
KERNEL, BATCH = "skep.kernel.perform:Performer", "skep.kernel.batch:Batch.perform"
STORE, SESSIONS = "skep.store.database:Database", "skep.manager.sessions:Sessions"
COMMIT = "skep.manager.manager:Manager._commit"
FILES = "skep.agent.etc:EtcFiles.write"
NAMES, OPENING = "skep.dns.client:DnsClient.sync", "skep.dns.sandboxes:Sandboxes"
PORT = 7007
VICTIMS = "pgrep -f '[s]kep.daemon.--state|[s]kep.dns.server|[p]odman.*system.service'"


ECHO = f"""
import socket
heard, _ = socket.create_server(("", {PORT})).accept()
while data := heard.recv(100):
    heard.sendall(data)
"""
TALK = f"""
import socket, sys
talk = socket.create_connection((sys.argv[1], {PORT}), 60).makefile("rw")
for line in sys.stdin:
    print(line, end="", file=talk, flush=True)
    print(talk.readline(), end="", flush=True)
"""


class Connection:
    """A TCP connection from a container on h1 to one on h3, that was opened before any fault."""

    def __init__(self, lab):
        self._server = self._begin(lab, "h3", ECHO)
        box = lab.said("h3", "nsenter --net=/run/netns/%box% ss -Hltn")
        until(lambda: f":{PORT} " in lab.shell("h3", box), 60)
        self._process = self._begin(lab, "h1", TALK, lab.ip("h3", "box-h3"))
        self._count = 0

    def _begin(self, lab, host, *program):
        box = lab.said(host, "--net=/run/netns/%box%")
        return subprocess.Popen(
            lab.inside(host, "nsenter", box, sys.executable, "-uc", *program),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def lives(self):
        """Say something, and hear it come back."""
        self._count += 1
        self._process.stdin.write(f"still there {self._count}\n")
        self._process.stdin.flush()
        heard = []
        reader = threading.Thread(target=lambda: heard.append(self._process.stdout.readline()))
        reader.daemon = True
        reader.start()
        reader.join(60)
        assert heard == [f"still there {self._count}\n"], "the connection is gone"

    def close(self):
        self._process.stdin.close()
        self._process.wait(60)
        self._server.wait(60)


class Fault:
    """A kill that waits for its step."""

    def __init__(self, lab, host, step, when, victim):
        assert step.partition(":")[2] in STEPS[step.partition(":")[0]], step
        self._lab, self._host, self._victim = lab, host, victim
        self._before = self._running()
        lab.shell(host, f"rm -f {DONE}; echo {step} {when} {victim} >{ORDER}")

    def happened(self):
        return self._lab.shell(self._host, f"ls {DONE}", check=False).strip() == DONE

    def _running(self):
        return self._lab.shell(self._host, VICTIMS, check=False)

    def over(self):
        """Wait until what was killed is back."""
        until(self.happened, 60)
        # The step is seen to be reached before the victim is dead.
        until(lambda: self._running() != self._before, 60)
        until(lambda: self._lab.answers(self._host), 60)
        until(lambda: self._lab.tried(self._host, "ps")[0] == 0, 60)


# --- the operations: each is prepared, done under a fault, and judged


class Run:
    """docker run on a swarm's network."""

    host = AGENT
    command = ("run", "-d", "--name", "late", "--network", "net", "busybox", "sleep", "77777")

    def prepare(self, lab):
        pass

    def judge(self, lab, acknowledged):
        if not acknowledged:
            until(lambda: self._again(lab), 60)
        until(lambda: _reached(lab, "late"), 60)

    def _again(self, lab):
        # One that had no session with a manager yet leaves the container behind.
        lab.tried(self.host, "rm", "-f", "late")
        return lab.tried(self.host, *self.command)[0] == 0

    def clean(self, lab):
        until(lambda: lab.tried(self.host, "rm", "-f", "late")[0] == 0, 60)


class Stop(Run):
    """docker stop."""

    command = ("stop", "-t", "0", "late")

    def prepare(self, lab):
        lab.docker(self.host, *Run.command)

    def judge(self, lab, acknowledged):
        if not acknowledged:
            until(lambda: lab.tried(self.host, *self.command)[0] == 0, 60)
        form = "{{.State.Running}} {{.NetworkSettings.Networks.net.IPAddress}}"
        until(lambda: lab.docker(self.host, "inspect", "-f", form, "late").split() == ["false"], 60)
        lab.docker(self.host, "start", "late")
        until(lambda: _reached(lab, "late"), 60)


class Remove(Stop):
    """docker rm -f."""

    command = ("rm", "-f", "late")

    def judge(self, lab, acknowledged):
        if not acknowledged:
            until(lambda: lab.tried(self.host, *self.command)[0] == 0, 60)
        assert lab.docker(self.host, "ps", "-aq", "--filter", "name=late") == ""

    def clean(self, lab):
        lab.tried(self.host, "rm", "-f", "late")


class Connect(Stop):
    """docker network connect, of a container that runs."""

    command = ("network", "connect", "net", "late")
    wanted = True

    def prepare(self, lab):
        lab.docker(self.host, "run", "-d", "--name", "late", "busybox", "sleep", "77777")

    def judge(self, lab, acknowledged):
        if not acknowledged and self._is_there(lab) != self.wanted:
            until(lambda: lab.tried(self.host, *self.command)[0] == 0, 60)
        until(lambda: self._is_there(lab) == self.wanted, 60)
        if self.wanted:
            until(lambda: _reached(lab, "late"), 60)

    def _is_there(self, lab):
        return " net " in f" {lab.docker(self.host, 'inspect', '-f', NETWORKS, 'late')}"


class Disconnect(Connect):
    """docker network disconnect."""

    command = ("network", "disconnect", "net", "late")
    wanted = False

    def prepare(self, lab):
        super().prepare(lab)
        lab.docker(self.host, *Connect.command)


class Update:
    """docker service update: every task is replaced, all of them on the host of the faults."""

    host = MANAGER
    create = ("service", "create", "--detach", "--no-resolve-image", "--name", "rolled",
              "--constraint", f"node.hostname=={MANAGER}", "--network", "net", "--replicas", "2",
              "--update-monitor", "100ms", "--env", "N=1",
              "--stop-grace-period", "1s", "busybox", "sleep", "86400")  # fmt: skip
    command = ("service", "update", "--detach", "--env-add", "N=2", "rolled")

    def prepare(self, lab):
        lab.docker(self.host, *self.create)
        until(lambda: lab.running("rolled", 2), 60)

    def judge(self, lab, acknowledged):
        form = "{{range .Spec.TaskTemplate.ContainerSpec.Env}}{{.}} {{end}}"
        if not acknowledged:
            until(lambda: lab.tried(self.host, *self.command)[0] == 0, 60)
        assert "N=2" in lab.docker(self.host, "service", "inspect", "-f", form, "rolled").split()
        until(lambda: _update_state(lab) == "completed", 180)
        until(lambda: lab.running("rolled", 2), 60)

    def clean(self, lab):
        until(lambda: lab.tried(self.host, "service", "rm", "rolled")[0] == 0, 60)


class Create(Update):
    """docker service create."""

    command = Update.create

    def prepare(self, lab):
        pass

    def judge(self, lab, acknowledged):
        listed = ("service", "ls", "-q", "--filter", "name=rolled")
        if not acknowledged and not lab.docker(self.host, *listed):
            until(lambda: lab.tried(self.host, *self.command)[0] == 0, 60)
        until(lambda: lab.running("rolled", 2), 60)


class RemoveNetwork:
    """docker network rm of a swarm's network that nothing is on any more."""

    host = MANAGER
    command = ("network", "rm", "shortlived")

    def prepare(self, lab):
        lab.docker(self.host, "network", "create", "-d", "overlay", "--attachable", "shortlived")
        lab.docker(AGENT, "run", "--rm", "--network", "shortlived", "busybox", "true")

    def judge(self, lab, acknowledged):
        if not acknowledged and self._left(lab):
            until(lambda: lab.tried(self.host, *self.command)[0] == 0, 60)
        until(lambda: not self._left(lab), 60)

    def _left(self, lab):
        return lab.docker(self.host, "network", "ls", "-q", "--filter", "name=shortlived")

    def clean(self, lab):
        lab.tried(self.host, *self.command)


NETWORKS = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"


def _reached(lab, name):
    """Whether a container of h2 is found by its name on another host, where its own host has it."""
    address = lab.tried("h3", "exec", "box-h3", "nslookup", name, "127.0.0.11")[1]
    return lab.ip(AGENT, name) and f"Address: {lab.ip(AGENT, name)}" in address


def _update_state(lab):
    form = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}"
    return lab.docker("h1", "service", "inspect", "-f", form, "rolled").strip()


def both(*steps):
    return tuple((step, when) for step in steps for when in ("before", "after"))


ROAD = {
    Run: {
        "self": both(f"{RECORDS}.put", f"{NETWORK}.prepare", f"{KERNEL}._add_namespace", NAMES,
                     f"{ENGINE}.create", f"{RECORDS}.drop", f"{UPLINK}.attach", f"{NETWORK}.join",
                     BATCH, f"{KERNEL}._change_table", FILES,
                     f"{ENGINE}.start", f"{OPENING}.adopt"),
        "engine": (*both(f"{ENGINE}.create", f"{ENGINE}.start"), (f"{NETWORK}.prepare", "after"),
                   (f"{NETWORK}.join", "after")),
        "dns": both(NAMES),
    },
    Stop: {
        "self": both(f"{ENGINE}.stop", f"{NETWORK}.part", f"{RECORDS}.put", f"{UPLINK}.detach"),
        "engine": both(f"{ENGINE}.stop", f"{NETWORK}.part"),
    },
    Remove: {
        "self": both(f"{ENGINE}.remove", f"{NETWORK}.forget", f"{RECORDS}.drop", BATCH,
                     f"{KERNEL}._delete_namespace", f"{UPLINK}.detach"),
        "engine": both(f"{ENGINE}.remove", f"{NETWORK}.forget"),
        "dns": both(NAMES),
    },
    Connect: {
        "self": both(f"{UPLINK}.attach", f"{RECORDS}.put", BATCH, FILES),
        "dns": both(NAMES),
    },
    Disconnect: {"self": both(f"{RECORDS}.put", BATCH, f"{UPLINK}.detach")},
    Create: {
        "self": both(COMMIT, f"{STORE}._write", f"{STORE}.apply", f"{SESSIONS}._publish"),
    },
    Update: {
        "self": both(COMMIT, f"{STORE}._write", f"{STORE}.apply", f"{SESSIONS}._publish",
                     f"{UPLINK}._adopt"),
        "engine": both(f"{ENGINE}.create", f"{ENGINE}.start", f"{ENGINE}.stop"),
    },
    RemoveNetwork: {"self": both(COMMIT, f"{STORE}._write", f"{STORE}.apply")},
}  # fmt: skip
QUICK_CASES = {
    (Run, "self", f"{ENGINE}.create", "after"),
    (Run, "engine", f"{ENGINE}.start", "after"),
}


def cases(*operations):
    """The cases of these operations, as pytest wants them."""
    found = []
    for operation in operations:
        found += _cases(operation)
    return found


def _cases(operation):
    for victim, steps in ROAD[operation].items():
        for step, when in steps:
            quick = (operation, victim, step, when) in QUICK_CASES
            yield pytest.param(
                operation(), step, when, victim,
                id=f"{operation.__name__}-{victim}-{when}-{step.rpartition(':')[2]}",
                marks=() if quick else pytest.mark.fault,
            )  # fmt: skip


def judge(lab, operation, step, when, victim):
    """Do the operation, kill the victim at its step, and see that all comes right."""
    operation.prepare(lab)
    try:
        fault = Fault(lab, operation.host, step, when, victim)
        code, _, complaint = lab.tried(operation.host, *operation.command)
        fault.over()
        assert "Traceback" not in complaint
        operation.judge(lab, code == 0)
        right(lab)
    finally:
        operation.clean(lab)
    right(lab)
