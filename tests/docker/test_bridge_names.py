"""Names of containers on one host, without a swarm: the real client, the real name server."""

import os

import pytest
from name_lab import Asker
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"brgname{os.getpid()}", 1) as lab:
        lab.up(swarm=False)
        lab.docker("h1", "network", "create", "--subnet", "10.85.0.0/24", "--ipv6",
                   "--subnet", "fd00:85::/64", "net")  # fmt: skip
        run(lab, "web", "--network", "name=net,alias=www,ip=10.85.0.20,ip6=fd00:85::20",
            "--hostname", "site")  # fmt: skip
        run(lab, "asker", "--network", "net")
        yield lab


def run(lab, name, *options):
    return lab.docker("h1", "run", "-d", "--name", name, *options, "busybox", "sleep", "1d").strip()


def hosts(lab, container):
    return lab.docker("h1", "exec", container, "cat", "/etc/hosts")


def test_names_aliases_short_ids_and_the_way_back(lab):
    asker = Asker(lab, "h1", "asker")
    id = lab.docker("h1", "inspect", "-f", "{{.Id}}", "web").strip()
    for name in ("web", "www", id[:12], "site", "web.net", "WEB"):
        assert asker.texts(name) == ["10.85.0.20"], name
    assert asker.texts("web", "AAAA") == ["fd00:85::20"]
    assert asker.ask("web", "A", "tcp").texts == ["10.85.0.20"]
    assert asker.texts("20.0.85.10.in-addr.arpa", "PTR") == ["web.net."]
    shown = lab.docker("h1", "inspect", "-f", "{{.NetworkSettings.Networks.net.DNSNames}}", "web")
    assert shown.strip() == f"[web www {id[:12]} site]"


def test_names_follow_who_comes_and_goes(lab):
    asker = Asker(lab, "h1", "asker")
    run(lab, "late", "--network", "name=net,ip=10.85.0.30", "--network-alias", "www")
    asker.becomes("www", "10.85.0.20", "10.85.0.30")
    lab.docker("h1", "network", "disconnect", "net", "late")
    asker.becomes("www", "10.85.0.20")
    lab.docker("h1", "network", "connect", "--alias", "again", "net", "late")
    assert len(asker.texts("again")) == 1
    lab.docker("h1", "rm", "-f", "late")
    assert asker.texts("late") == []


def test_the_default_bridge_has_no_names_and_links_are_lines(lab):
    run(lab, "plain")
    run(lab, "linked", "--link", "plain:pal")
    assert Asker(lab, "h1", "linked").texts("plain") == []
    form = "{{.NetworkSettings.IPAddress}}"

    def held():
        return lab.docker("h1", "inspect", "-f", form, "plain").strip()

    address = held()
    assert f"{address}\tpal " in hosts(lab, "linked")
    lab.docker("h1", "stop", "-t", "0", "plain")
    until(lambda: not held(), 60)
    lab.docker("h1", "start", "plain")
    again = held()
    assert again != address
    assert f"{again}\tpal " in hosts(lab, "linked"), "it follows"
    lab.docker("h1", "rm", "-f", "plain", "linked")


def test_what_users_add(lab):
    run(lab, "extra", "--add-host", "me:host-gateway", "--add-host", "db:10.9.9.9",
        "--dns-search", "example.org", "--dns-option", "timeout:1", "--network", "net")  # fmt: skip
    assert "172.17.0.1\tme" in hosts(lab, "extra")
    assert "10.9.9.9\tdb" in hosts(lab, "extra")
    conf = lab.docker("h1", "exec", "extra", "cat", "/etc/resolv.conf")
    assert "search example.org" in conf
    assert "timeout:1" in conf
    lab.docker("h1", "rm", "-f", "extra")
