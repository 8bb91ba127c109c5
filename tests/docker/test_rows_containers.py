"""What docker's commands about containers do and say, one row each, with their error rows.

The rows are docker CLI 28's commands of containers and execs. A row is a command line, its exit
code and a regular expression that its whole output (both streams) must have in it.
"""

import json
import os

import pytest
from said import check, each_of
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with SwarmLab(f"conrow{os.getpid()}", 1) as lab:
        lab.up(swarm=False)
        lab.files = tmp_path_factory.mktemp("rows")
        (lab.files / "in").write_text("from outside\n")
        lab.docker("h1", "run", "-d", "--name", "up", "-l", "l=1", "busybox", "sleep", "1d")
        lab.docker("h1", "create", "--name", "new", "busybox", "true")
        lab.tried("h1", "run", "--name", "said", "busybox", "sh", "-c",
                   "for n in 1 2 3; do echo line$n; done; echo wrong >&2; exit 7")  # fmt: skip
        yield lab


MISSING = "No such container: nosuch"

ROWS = [
    ("exec up echo hello", 0, "^hello$"),
    ("exec up sh -c 'exit 3'", 3, ""),
    ("exec -e A=b -w /tmp -u daemon up sh -c 'echo $A $PWD; id -u'", 0, r"b /tmp\n1\n"),
    ("exec up nosuchcommand", 127, "executable file not found"),
    ("exec -d up sleep 1", 0, "^$"),
    ("exec new true", 1, "is not running"),
    ("exec nosuch true", 1, MISSING),
    ("top up", 0, r"PID.*\n.*sleep 1d"),
    ("top up -o pid,comm", 0, "PID +COMMAND"),
    ("top nosuch", 1, MISSING),
    ("diff up", 0, "C /etc"),
    ("diff nosuch", 1, MISSING),
    ("logs said", 0, "^line1\nline2\nline3\nwrong\n$"),
    ("logs --tail 1 said", 0, "^wrong\n$"),
    ("logs --tail 0 said", 0, "^$"),
    ("logs -t --tail 1 said", 0, r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\S* wrong\n$"),
    ("logs --since 1h --until 0s said", 0, "line1"),
    ("logs --until 1h said", 0, "^$"),
    ("logs -f said", 0, "line3"),
    ("logs nosuch", 1, MISSING),
    ("logs --since rubbish said", 1, "failed to parse value"),
    ("cp {files}/in up:/tmp/in", 0, ""),
    ("exec up cat /tmp/in", 0, "from outside"),
    ("cp up:/tmp/in {files}/out", 0, ""),
    ("cp up:/etc/passwd -", 0, "root:"),
    ("cp up:/nosuch {files}/x", 1, "Could not find the file /nosuch in container up"),
    ("cp nosuch:/x -", 1, MISSING),
    ("export -o {files}/tar up", 0, ""),
    ("export nosuch", 1, MISSING),
    ("stats --no-stream up", 0, r"up .*MiB|KiB"),
    ("stats --no-stream nosuch", 1, MISSING),
    ("kill -s NOSUCH up", 1, "[Ii]nvalid signal: NOSUCH"),
    ("kill -s USR1 up", 0, "up"),
    ("kill new", 1, "is not running"),
    ("kill nosuch", 1, MISSING),
    ("pause up", 0, "up"),
    ("pause up", 1, "is already paused"),
    ("ps --filter status=paused", 0, r"\(Paused\)"),
    ("unpause up", 0, "up"),
    ("unpause up", 1, "is not paused"),
    ("pause nosuch", 1, MISSING),
    ("rename up other", 0, "^$"),
    ("rename other new", 1, 'name "/new" is already in use'),
    ("rename other 'a b'", 1, r"Invalid container name \(a b\)"),
    ("rename other other", 1, "same name"),
    ("ps --format {{{{.Names}}}} --filter name=other", 0, "^other\n$"),
    ("rename other up", 0, "^$"),
    ("rename nosuch x", 1, MISSING),
    ("update --memory 64m --memory-swap 128m --cpus 0.5 --pids-limit 50 up", 0, "^up\n$"),
    ("inspect -f '{{{{.HostConfig.Memory}}}} {{{{.HostConfig.NanoCpus}}}}' up", 0,
     "67108864 500000000"),
    ("stats --no-stream --format {{{{.MemUsage}}}} up", 0, "/ 64MiB"),
    ("restart -t 0 up", 0, "up"),
    ("stats --no-stream --format {{{{.MemUsage}}}} up", 0, "/ 64MiB"),
    ("update --restart always up", 1, "restart policy"),
    ("update --memory 64m nosuch", 1, MISSING),
    ("commit -m words -a me -c 'ENV A=b' -c 'LABEL c=d' up snap:1", 0, "^sha256:[0-9a-f]{{64}}"),
    ("image inspect -f '{{{{.Config.Env}}}} {{{{.Config.Labels.c}}}} {{{{.Comment}}}}' snap:1", 0,
     "A=b.* d words"),
    ("commit nosuch x", 1, MISSING),
    ("run --rm snap:1 cat /tmp/in", 0, "from outside"),
    ("wait said", 0, "^7$"),
    ("wait nosuch", 1, MISSING),
    ("attach --no-stdin new", 1, "cannot attach to a stopped container"),
    ("attach nosuch", 1, MISSING),
    ("port up", 0, "^$"),
    ("port nosuch", 1, MISSING),
    ("stop -t 0 up", 0, "up"),
    ("stop up", 0, "up"),
    ("start up", 0, "up"),
    ("start nosuch", 1, MISSING),
    ("rm up", 1, "container is running"),
    ("rm nosuch", 1, MISSING),
    ("run --name up busybox", 125, 'name "/up" is already in use'),
    ("run nosuchimage:1", 125, "Unable to find image 'nosuchimage:1' locally"),
    ("run -d --network nosuch busybox", 125, "nosuch"),
    ("run --rm busybox sh -c 'echo out; echo err >&2; exit 7'", 7, "out|err"),
    ("run --rm busybox nosuchcommand", 127, "executable file not found"),
    ("run --rm busybox /etc/passwd", 126, "permission denied"),
    ("exec up /etc/passwd", 126, "permission denied"),
    ("run --rm --user nosuch busybox", 125, "unable to find user nosuch"),
    ("container prune -f --filter until=1h", 0, "Total reclaimed space: 0B"),
    ("container prune -f --filter label=nosuch", 0, "Total reclaimed space: 0B"),
    ("container prune -f --filter bogus=1", 1, "invalid filter 'bogus'"),
    ("ps -aq --filter name=said --filter exited=7", 0, "^[0-9a-f]{{12}}$"),
    ("ps --filter bogus=1", 1, "invalid filter 'bogus'"),
    ("container prune -f", 0, "Deleted Containers"),
    ("ps -aq --filter name=said", 0, "^$"),
]  # fmt: skip


@each_of(ROWS)
def test_row(lab, row):
    check(lab, row)


def test_stats_count_our_interfaces(lab):
    lab.docker("h1", "run", "-d", "--name", "busy", "busybox", "sleep", "1d")
    gateway = lab.docker("h1", "network", "inspect", "-f",
                         "{{(index .IPAM.Config 0).Gateway}}", "bridge").strip()  # fmt: skip
    lab.docker("h1", "exec", "busy", "ping", "-c", "3", "-s", "1000", gateway)
    shown = json.loads(lab.docker("h1", "stats", "--no-stream", "--format", "json", "busy"))
    received, _, sent = shown["NetIO"].partition(" / ")
    assert received.endswith("kB"), shown
    assert sent.endswith("kB"), shown
    lab.docker("h1", "rm", "-f", "busy")


def test_a_renamed_container_has_its_new_name_on_its_networks(lab):
    lab.docker("h1", "network", "create", "ren")
    lab.docker("h1", "run", "-d", "--name", "before", "--network", "ren", "busybox", "sleep", "1d")
    lab.docker("h1", "rename", "before", "after")
    names = lab.docker("h1", "inspect", "-f",
                       "{{json .NetworkSettings.Networks.ren.DNSNames}}", "after")  # fmt: skip
    assert json.loads(names)[0] == "after"
    asked = ["events", "--since", "1h", "--until", "0s", "--filter", "event=rename", "--filter",
             "container=after", "--format", "{{.Actor.Attributes.oldName}}"]  # fmt: skip
    told = until(lambda: lab.docker("h1", *asked))
    assert told.split() == ["/before"]
    lab.docker("h1", "rm", "-f", "after")
    lab.docker("h1", "network", "rm", "ren")
