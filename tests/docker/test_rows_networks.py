"""What docker's commands about networks do and say, one row each, with their error rows.

A row is a command line, its exit code and a regular expression that its whole output (both streams)
must have in it. Rows stand on earlier ones.
"""

import json
import os

import pytest
from said import check, each_of
from swarm_lab import SwarmLab

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

MISSING = "network nosuch not found"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with SwarmLab(f"conrown{os.getpid()}", 1) as lab:
        lab.up()
        lab.files = tmp_path_factory.mktemp("rows")
        for name in ("up", "peer"):
            lab.docker("h1", "run", "-d", "--name", name, "busybox", "sleep", "1d")
        lab.docker("h1", "create", "--name", "new", "busybox", "sleep", "1d")
        yield lab


MAKING = [
    ("network create --subnet 10.71.0.0/24 --label tier=web solo", 0, "^[0-9a-f]{{64}}$"),
    ("network create --subnet 10.72.0.0/24 --ipv6 --subnet fd72::/64 --internal two", 0, ""),
    ("network create -d overlay --attachable --subnet 10.73.0.0/24 over", 0, "^[0-9a-z]{{25}}$"),
    ("network create -d overlay --subnet 10.74.0.0/24 closed", 0, ""),
    ("network create solo", 1, "network with name solo already exists"),
    ("network create --subnet 10.71.0.0/25 half", 1, "[Pp]ool overlaps"),
    ("network create --subnet rubbish half", 1, "rubbish"),
    ("network create -d nosuch half", 1, 'plugin "?nosuch"? not found'),
    ("network create host", 1, "not permitted on predefined host network"),
    ("network create -o com.docker.network.bridge.enable_icc=perhaps half", 1, "perhaps"),
]  # fmt: skip

LISTS = [
    ("network ls", 0, r"^NETWORK ID +NAME +DRIVER +SCOPE\n"),
    ("network ls -q --no-trunc --filter name=solo", 0, "^[0-9a-f]{{64}}\n$"),
    ("network ls -q --filter name=solo", 0, "^[0-9a-f]{{12}}\n$"),
    ("network ls --filter driver=host --format {{{{.Name}}}}", 0, "^host\n$"),
    ("network ls --filter driver=overlay --format {{{{.Name}}}}", 0, "^closed\ningress\nover\n$"),
    ("network ls --filter scope=swarm --filter name=ov --format {{{{.Scope}}}}", 0, "^swarm\n$"),
    ("network ls --filter type=builtin --format {{{{.Name}}}}", 0, "^bridge\nhost\nnone\n$"),
    ("network ls --filter label=tier --format {{{{.Labels}}}}", 0, "tier=web"),
    ("network ls --filter label=tier=web --format '{{{{.Label \"tier\"}}}}'", 0, "^web\n$"),
    ("network ls --filter label=tier=db", 0, "SCOPE\n$"),
    ("network ls --filter dangling=true --filter name=solo -q", 0, "^[0-9a-f]{{12}}\n$"),
    ("network ls --filter name=two --format '{{{{.Internal}}}} {{{{.IPv6}}}}'", 0, "^true true\n$"),
    ("network ls --filter name=solo --format json", 0, '"Driver":"bridge".*"Name":"solo"'),
    ("network ls --format 'table {{{{.Name}}}}\t{{{{.Driver}}}}' --filter name=solo", 0,
     r"^NAME +DRIVER\nsolo +bridge\n$"),
    ("network ls --filter bogus=1", 1, "invalid filter 'bogus'"),
    ("network ls --filter type=bogus", 1, "invalid filter: 'type'='bogus'|invalid filter"),
    ("network ls --filter dangling=perhaps", 1, "invalid filter 'dangling=perhaps'|perhaps"),
    ("network ls --format {{{{.NoSuch}}}}", 1, "NoSuch"),
    ("network inspect nosuch", 1, MISSING),
    ("network inspect -v over", 0, '"Name": "over"'),
    ("network inspect -f {{{{.Driver}}}} solo over", 0, "^bridge\noverlay\n$"),
]  # fmt: skip

CONNECTING = [
    ("network connect --ip 10.71.0.7 --alias seven --alias siete solo up", 0, "^$"),
    ("network connect solo up", 1, "already exists in network solo"),
    ("network connect solo peer", 0, "^$"),
    ("exec peer ping -c 1 seven", 0, r"10\.71\.0\.7"),
    ("exec peer ping -c 1 siete", 0, r"10\.71\.0\.7"),
    ("network disconnect solo peer", 0, "^$"),
    ("network connect --link up:friend solo peer", 0, "^$"),
    ("exec peer ping -c 1 friend", 0, r"10\.71\.0\.7"),
    ("inspect -f '{{{{json .NetworkSettings.Networks.solo.Links}}}}' peer", 0,
     r'^\["up:friend"\]$'),
    ("network disconnect solo peer", 0, "^$"),
    ("exec peer ping -c 1 -W 1 friend", 1, "bad address"),
    ("network disconnect solo peer", 1, "is not connected to network solo"),
    ("network connect --driver-opt com.docker.network.endpoint.ifname=own0 --driver-opt "
     "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1 solo peer", 0, "^$"),
    ("exec peer ip link show own0", 0, "own0"),
    ("exec peer cat /proc/sys/net/ipv4/conf/own0/log_martians", 0, "^1$"),
    ("network disconnect solo peer", 0, "^$"),
    ("network connect --driver-opt bogus=1 solo peer", 1, "bogus is not supported"),
    ("network connect --link-local-ip 169.254.9.9 solo peer", 1,
     "link-local addresses are not supported"),
    ("exec peer ip route", 0, r"default via 172\.17\.0\.1"),
    ("network connect --gw-priority 5 solo peer", 0, "^$"),
    ("exec peer ip route", 0, r"default via 10\.71\.0\.1"),
    ("network disconnect solo peer", 0, "^$"),
    ("exec peer ip route", 0, r"default via 172\.17\.0\.1"),
    ("network connect --ip 10.71.0.7 solo peer", 1, "already in use"),
    ("network connect --ip 10.99.0.7 solo peer", 1, "10.99.0.7"),
    ("network connect --ip6 fd72::9 --ip 10.72.0.9 two peer", 0, "^$"),
    ("exec peer ip -6 addr show eth1", 0, "fd72::9/64"),
    ("network disconnect -f two peer", 0, "^$"),
    ("network connect --ip 172.17.0.200 bridge new", 1, "user defined networks only|already"),
    ("network connect over peer", 0, "^$"),
    ("exec peer ip -4 addr show", 0, r"inet 10\.73\.0\.\d+/24"),
    ("network connect closed peer", 1, "not manually attachable|attach"),
    ("network disconnect over peer", 0, "^$"),
    ("network connect two new", 0, "^$"),
    ("start new", 0, "new"),
    ("exec new ip -4 addr", 0, r"inet 10\.72\.0\.\d+/24"),
    ("network connect host up", 1, "host network"),
    ("network connect none up", 1, "none"),
    ("network connect nosuch up", 1, MISSING),
    ("network connect solo nosuch", 1, "No such container: nosuch"),
    ("network disconnect nosuch up", 1, MISSING),
    ("network disconnect solo nosuch", 1, "No such container: nosuch"),
    ("ps --filter network=solo --format {{{{.Names}}}}", 0, "^up\n$"),
    ("network rm solo", 1, "has active endpoints"),
    ("network ls --filter dangling=false --filter name=solo --format {{{{.Name}}}}", 0, "^solo\n$"),
    ("events --since 1h --until 0s --filter type=network --filter network=solo --filter "
     "event=connect --format '{{{{.Actor.Attributes.name}}}}'", 0, "^solo\n"),
    ("events --since 1h --until 0s --filter type=network --filter event=disconnect --format "
     "'{{{{.Actor.Attributes.name}}}} {{{{.Actor.Attributes.type}}}}'", 0, "^over overlay$"),
]  # fmt: skip

ENDING = [
    ("network prune -f --filter until=1h", 0, "^$"),
    ("network prune -f --filter label=nosuch", 0, "^$"),
    ("network prune -f --filter label!=tier --filter bogus=1", 1, "invalid filter 'bogus'"),
    ("rm -f up peer new", 0, "up"),
    ("network prune -f --filter label=tier=web", 0, "^Deleted Networks:\nsolo\n$"),
    ("network prune -f --filter label!=nosuch", 0, "^Deleted Networks:\n(.*\n)*two\n"),
    ("network ls --filter type=custom --filter name=solo -q", 0, "^$"),
    ("network rm nosuch", 1, MISSING),
    ("network rm -f nosuch", 0, ""),
    ("network rm bridge", 1, "bridge is a pre-defined network and cannot be removed"),
    ("network rm host none", 1, "host is a pre-defined(.*\n)*.*none is a pre-defined"),
]  # fmt: skip

ROWS = MAKING + LISTS + CONNECTING + ENDING


@each_of(ROWS)
def test_row(lab, row):
    check(lab, row)


def test_several_networks_at_once(lab):
    for number in (1, 2):
        lab.docker("h1", "network", "create", "--subnet", f"10.8{number}.0.0/24", f"m{number}")
    lab.docker("h1", "run", "-d", "--name", "many", "--network",
               "name=m1,alias=first,ip=10.81.0.9,mac-address=02:42:00:00:81:09", "--network",
               "name=m2,driver-opt=com.docker.network.endpoint.ifname=side,gw-priority=9",
               "busybox", "sleep", "1d")  # fmt: skip
    shown = json.loads(lab.docker("h1", "inspect", "many"))[0]["NetworkSettings"]["Networks"]
    assert (shown["m1"]["IPAddress"], shown["m1"]["MacAddress"]) == (
        "10.81.0.9", "02:42:00:00:81:09",
    )  # fmt: skip
    assert shown["m2"]["GwPriority"] == 9
    assert "default via 10.82.0.1 dev side" in lab.docker("h1", "exec", "many", "ip", "route")
    lab.docker("h1", "rm", "-f", "many")
    lab.docker("h1", "network", "rm", "m1", "m2")


@pytest.mark.parametrize("length", [12, 64])
def test_a_network_by_its_id(lab, length):
    key = lab.docker("h1", "network", "create", "--subnet", "10.83.0.0/24", "idn").strip()[:length]
    try:
        lab.docker("h1", "run", "-d", "--name", "byid", "--network", key, "--ip", "10.83.0.9",
                   "--network-alias", "known", "busybox", "sleep", "1d")  # fmt: skip
        (shown,) = json.loads(lab.docker("h1", "inspect", "byid"))
        assert shown["HostConfig"]["NetworkMode"] == key
        assert list(shown["NetworkSettings"]["Networks"]) == ["idn"]
        assert shown["NetworkSettings"]["Networks"]["idn"]["IPAddress"] == "10.83.0.9"
        assert "10.83.0.9" in lab.docker("h1", "exec", "byid", "nslookup", "known")
        lab.docker("h1", "restart", "-t", "0", "byid")
        assert "10.83.0.9/24" in lab.docker("h1", "exec", "byid", "ip", "-o", "addr")
        lab.docker("h1", "network", "disconnect", "idn", "byid")
        (shown,) = json.loads(lab.docker("h1", "inspect", "byid"))
        assert "idn" not in shown["NetworkSettings"]["Networks"]
    finally:
        lab.tried("h1", "rm", "-f", "byid")
        lab.docker("h1", "network", "rm", "idn")
