"""``docker stack`` with compose files of 3.0 to 3.13, all deployed at once on a lab of three hosts,
and what became of their members."""

import json
import os
from pathlib import Path

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(900)]

FILES = Path(__file__).parents[1] / "cli" / "compose"
VERSIONS = range(14)
LONG = 240

INSIDE = {
    "v0 db": ("s0_db", "id -u; pwd; hostname; cat /etc/hosts; cat /etc/resolv.conf; "
              "grep files /proc/1/limits",
              ("1000", "/tmp", "dbhost", "1.2.3.4", "a", "search example.org", "100")),
    "v0 volumes": ("s0_db", "ls -d /data /host; touch /host/x || touch /x || echo kept",
                   ("/data", "/host", "kept")),
    "v0 name": ("s0_db", "until nslookup web 127.0.0.11 || nslookup web; do sleep 1; done",
                ("web", "10.")),
    "v1 secrets": ("s1_app", "stat -c '%u %g %a' /run/secrets/renamed; cat /run/secrets/key",
                   ("103 104 440", "k3y")),
    "v1 environment": ("s1_app", 'echo "$FROM_FILE,$SHARED,$NUM,$EMPTY."',
                       ("file value,inline,5,.",)),
    "v2 mounts": ("s2_app", "ls -d /data; touch /x/y || echo kept", ("/data", "kept")),
    "v3 configs": ("s3_app", "stat -c '%u %g %a' /etc/page; cat /page", ("1 2 400", "page")),
    "v3 subnet": ("s3_app", "ip -4 addr", ("10.201.0.",)),
    "v3 mtu": ("s3_app", "ip link", ("mtu 1350",)),
    "v4 merged": ("s4_one", "echo $A$B", ("13",)),
    "v6 tmpfs": ("s6_a", "df -k /t", ("tmpfs", " 980 ", "/t")),
    "v7 sysctl": ("s7_a", "cat /proc/sys/net/core/somaxconn; cat /proc/1/comm", ("1024", "init")),
    "v8 sysctls": ("s8_a", "cat /proc/sys/net/ipv4/tcp_syncookies", ("0",)),
    "v11 pids": ("s11_a", "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; "
                 "echo $DOCKER_RESOURCE_GPU", ("50", "2")),
    "v13 ulimit": ("s13_a", "grep files /proc/1/limits; cat /etc/resolv.conf",
                   ("40", "50", "127.0.0.11")),
}  # fmt: skip
"""What a command prints in a container of a service: these words, in this order."""

SPECS = {
    "v0 restart": ("s0_web", ("TaskTemplate", "RestartPolicy"),
                   {"Condition": "on-failure", "Delay": 2 * 10**9, "MaxAttempts": 3,
                    "Window": 5 * 10**9}),
    "v0 update": ("s0_web", ("UpdateConfig",),
                  {"Parallelism": 1, "Delay": 10**9, "FailureAction": "continue",
                   "Monitor": 2 * 10**9, "MaxFailureRatio": 0.2, "Order": "stop-first"}),
    "v0 limits": ("s0_web", ("TaskTemplate", "Resources", "Limits"),
                  {"NanoCPUs": 500_000_000, "MemoryBytes": 50 << 20}),
    "v2 mode": ("s2_app", ("EndpointSpec", "Mode"), "dnsrr"),
    "v3 spread": ("s3_app", ("TaskTemplate", "Placement", "Preferences"),
                  [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]),
    "v4 order": ("s4_one", ("UpdateConfig", "Order"), "start-first"),
    "v4 check": ("s4_two", ("TaskTemplate", "ContainerSpec", "Healthcheck"), {"Test": ["NONE"]}),
    "v7 rollback": ("s7_a", ("RollbackConfig", "Parallelism"), 2),
    "v8 placement": ("s8_a", ("TaskTemplate", "Placement", "MaxReplicas"), 1),
    "v10 job": ("s10_job", ("Mode", "ReplicatedJob", "TotalCompletions"), 3),
    "v12 start": ("s12_a", ("TaskTemplate", "ContainerSpec", "Healthcheck", "StartInterval"),
                  2 * 10**9),
}  # fmt: skip
"""Where in a service's spec what is found."""


@pytest.fixture(scope="module")
def lab():
    with (
        SwarmLab(f"stacks{os.getpid()}", 3, "--node-generic-resource=gpu=2") as lab,
        pytest.MonkeyPatch.context() as patch,
    ):
        lab.up()
        lab.docker("h1", "network", "create", "-d", "overlay", "--attachable", "net")
        lab.docker("h1", "secret", "create", "other", "-", stdin="other")
        lab.docker("h1", "node", "update", "--label-add", "disk=ssd", "--label-add", "zone=a", "h2")
        patch.setenv("FROMENV", "from outside")
        for minor in VERSIONS:
            deploy(lab, f"s{minor}", FILES / f"v3.{minor}.yml")
        settle(lab)
        yield lab


def deploy(lab, stack, *files, options=("--detach=true",)):
    named = [word for file in files for word in ("-c", str(file))]
    never = ("--resolve-image", "never")
    return lab.docker("h1", "stack", "deploy", *options, *never, *named, stack)


def services(lab, *filters):
    form = "{{.Name}} {{.Replicas}}"
    return lab.docker("h1", "service", "ls", *filters, "--format", form).splitlines()


def settle(lab):
    """Wait until all services are as they should be; says of those that are not why."""
    try:
        until(lambda: all(map(complete, services(lab))), LONG)
    except AssertionError:
        late = [line.split()[0] for line in services(lab) if not complete(line)]
        form = ("--no-trunc", "--format", "{{.Name}} {{.CurrentState}} {{.Error}}")
        raise AssertionError(lab.docker("h1", "service", "ps", *form, *late)) from None


def complete(line):
    """Whether a service runs as it should, or is a job that is done."""
    _, replicas, *rest = line.split()
    if rest[-1:] == ["completed)"]:
        done, _, wanted = rest[0].strip("(").partition("/")
        return done == wanted
    running, _, wanted = replicas.partition("/")
    return running == wanted != "0"


def container(lab, service):
    """The host and id of a service's container."""
    for host in lab.hosts:
        form = ("-q", "--filter", f"label=com.docker.swarm.service.name={service}")
        found = lab.docker(host, "ps", *form).split()
        if found:
            return host, found[0]
    raise AssertionError(f"{service} does not run")


def inside(lab, service, command):
    host, name = container(lab, service)
    return lab.tried(host, "exec", name, "sh", "-c", command)[1]


def ids(lab, stack):
    form = ("--filter", "desired-state=running", "--format", "{{.Name}} {{.ID}}")
    listed = lab.docker("h1", "stack", "ps", stack, *form)
    return dict(line.split() for line in listed.splitlines())


@pytest.mark.parametrize("what", INSIDE)
def test_from_inside(lab, what):
    service, command, words = INSIDE[what]
    said = inside(lab, service, command).replace("\0", " ")
    place = 0
    for word in words:
        place = said.find(word, place)
        assert place >= 0, f"{word} in {said}"


@pytest.mark.parametrize("what", SPECS)
def test_as_specified(lab, what):
    service, path, expected = SPECS[what]
    found = json.loads(lab.docker("h1", "service", "inspect", service))[0]["Spec"]
    for part in path:
        found = found[part]
    assert found == expected


def test_variables_are_filled_in(lab):
    logged = ("service", "logs", "--raw", "s5_a")
    until(lambda: lab.docker("h1", *logged) == "default from outside /root\n", 60)


def test_published_ports(lab):
    for host in lab.hosts:
        curl = ("curl", "-s", "-m", "5", f"http://{lab.address(host)}:8101/")
        until(lambda curl=curl: "nginx" in lab.run("h1", *curl, check=False), 60)
    form = "{{range .Endpoint.Ports}}{{.PublishedPort}}:{{.TargetPort}}/{{.Protocol}} {{end}}"
    shown = lab.docker("h1", "service", "inspect", "-f", form, "s0_web")
    assert sorted(shown.split()) == ["8101:80/tcp", "9000:90/udp", "9001:91/udp"]


def test_networks_configs_and_secrets_have_their_names_and_labels(lab):
    back = json.loads(lab.docker("h1", "network", "inspect", "s3_back"))[0]
    assert (back["Internal"], back["Driver"]) == (True, "overlay")
    assert back["Labels"] == {"a": "b", "com.docker.stack.namespace": "s3"}
    form = "{{.Name}} {{.Attachable}}"
    shown = lab.docker("h1", "network", "inspect", "-f", form, "s2_default")
    assert shown == "s2_default true\n"
    for kind, name in (("network", "my-net-name"), ("config", "my_config_name"),
                       ("secret", "sec_1")):  # fmt: skip
        shown = json.loads(lab.docker("h1", kind, "inspect", name))[0]
        labels = shown.get("Labels") or shown["Spec"]["Labels"]
        assert labels["com.docker.stack.namespace"] == "s5"


def test_ls(lab):
    listed = lab.docker("h1", "stack", "ls", "--format", "{{.Name}} {{.Services}}").splitlines()
    # In docker's order of names, in which numbers count as such.
    assert listed == [f"s{n} {2 if n in (0, 4, 9, 10) else 1}" for n in VERSIONS]
    assert lab.docker("h1", "stack", "ls").split()[:2] == ["NAME", "SERVICES"]


def test_services(lab):
    def named(*options):
        form = ("--format", "{{.Name}}")
        return lab.docker("h1", "stack", "services", *options, *form, "s0").split()

    assert named() == ["s0_db", "s0_web"]
    assert named("--filter", "name=s0_db") == ["s0_db"]
    assert named("--filter", "label=com.example=x") == ["s0_web"]
    assert named("--filter", "mode=global") == []
    assert len(lab.docker("h1", "stack", "services", "-q", "s0").split()) == 2
    code, _, said = lab.tried("h1", "stack", "services", "nosuch")
    assert (code, said) == (0, "Nothing found in stack: nosuch\n")


def test_ps(lab):
    def named(*options):
        form = ("--format", "{{.Name}}", "--filter", "desired-state=running")
        return lab.docker("h1", "stack", "ps", *options, *form, "s0").split()

    assert named() == ["s0_db.1", "s0_web.1", "s0_web.2"]
    assert named("--filter", "name=s0_web.2") == ["s0_web.2"]
    assert named("--filter", "node=h1", "--filter", "name=s0_web") == ["s0_web.1", "s0_web.2"]
    full = lab.docker("h1", "stack", "ps", "--no-trunc", "-q", "s0").split()
    assert named("--filter", f"id={full[0]}") == ["s0_db.1"]
    raw = lab.docker("h1", "stack", "ps", "--no-resolve", "--format", "{{.Node}}", "s0")
    assert "h1" not in raw.split()
    code, _, said = lab.tried("h1", "stack", "ps", "nosuch")
    assert (code, said) == (1, "nothing found in stack: nosuch\n")


def test_what_is_ignored_is_said_and_what_cannot_be_is_refused(lab, tmp_path):
    file = tmp_path / "bad.yml"

    def tried(text):
        file.write_text(text)
        return lab.tried("h1", "stack", "deploy", "-d", "-c", str(file), "bad")

    code, _, said = tried(
        "version: '3.2'\nservices: {a: {image: busybox, ports: ['8199:80'], "
        "deploy: {endpoint_mode: dnsrr}}}"
    )
    assert code == 1
    assert "port published with ingress mode can't be used with dnsrr mode" in said
    code, _, said = tried(
        "version: '3.8'\nservices: {a: {image: busybox, secrets: [s]}}\n"
        "secrets: {s: {driver: vault, name: s}}"
    )
    assert code == 1
    assert "not supported" in said
    code, _, said = tried(
        "version: '3.8'\nservices: {a: {image: busybox, networks: [nowhere]}}\n"
        "networks: {nowhere: {external: true}}"
    )
    assert code == 1
    assert 'network "nowhere" is declared as external, but could not be found' in said
    code, _, said = tried(
        "version: '3.8'\nservices: {a: {image: busybox, command: 'true', depends_on: [b], "
        "restart: always, deploy: {mode: global-job}}, b: {image: busybox, command: 'true', "
        "deploy: {mode: global-job}}}"
    )
    assert code == 0
    assert "Ignoring unsupported options: restart" in said
    lab.docker("h1", "stack", "rm", "bad")


def test_deploying_again_changes_what_changed_and_prunes(lab):
    before = ids(lab, "s4")
    assert set(before) == {"s4_one.1", "s4_two.1"}
    said = deploy(lab, "s4", FILES / "v3.4.yml", options=("--detach=true",))
    assert said.count("Updating service") == 2
    assert ids(lab, "s4") == before, "nothing changed, so nothing is done"

    both = (FILES / "v3.4.yml", FILES / "v3.4-over.yml")
    said = deploy(lab, "s4", *both, options=("--detach=false", "--quiet"))
    assert "Creating service s4_three" in said
    after = ids(lab, "s4")
    assert set(after) == {*before, "s4_one.2", "s4_one.3", "s4_one.4", "s4_three.1"}
    assert after["s4_two.1"] == before["s4_two.1"], "what did not change goes on"
    assert after["s4_one.1"] != before["s4_one.1"]
    # A task that was replaced may be ending still.
    until(lambda: inside(lab, "s4_one", "echo $A$B$C") == "139\n", 60)

    deploy(lab, "s4", FILES / "v3.4.yml")
    assert "s4_three.1" in ids(lab, "s4"), "without --prune it stays"
    said = deploy(lab, "s4", FILES / "v3.4.yml", options=("--detach=true", "--prune"))
    assert "Removing service s4_three" in said
    until(lambda: set(ids(lab, "s4")) == set(before), LONG)


DB = """
services:
  db:
    image: busybox
    command: sleep 600
    stop_grace_period: 0s
    networks: [shared]
networks: {shared: {external: true, name: net}}
"""


def test_within_a_stack_its_own_names_win_on_a_shared_network(lab, tmp_path):
    file = tmp_path / "db.yml"
    file.write_text(DB)
    vips = {}
    for stack in ("red", "blue"):
        deploy(lab, stack, file)
        until(lambda stack=stack: lab.running(f"{stack}_db", 1), 60)
        form = "{{range .Endpoint.VirtualIPs}}{{.Addr}}{{end}}"
        found = lab.docker("h1", "service", "inspect", "-f", form, f"{stack}_db")
        vips[stack] = found.strip().partition("/")[0]
    assert vips["red"] != vips["blue"]

    def told(stack, name):
        return inside(lab, f"{stack}_db", f"nslookup {name}")

    for stack, other in (("red", "blue"), ("blue", "red")):
        until(lambda stack=stack, other=other: vips[other] in told(stack, f"db.{other}"), 60)
        until(lambda stack=stack: vips[stack] in told(stack, "db"), 60)
        assert vips[other] not in told(stack, "db")
    lab.docker("h1", "stack", "rm", "red", "blue")


def test_rm_leaves_nothing(lab):
    stacks = [f"s{minor}" for minor in VERSIONS]
    said = lab.docker("h1", "stack", "rm", "--detach=false", "s10")
    assert not lab.docker("h1", "network", "ls", "-q", "--filter", "name=s10")
    said += lab.docker("h1", "stack", "rm", *stacks[:10], *stacks[11:])
    for line in ("Removing service s0_web", "Removing network s3_back", "Removing secret s1_key",
                 "Removing config s3_page"):  # fmt: skip
        assert line in said
    assert services(lab) == []
    assert lab.docker("h1", "stack", "ls", "--format", "{{.Name}}") == ""
    assert lab.docker("h1", "secret", "ls", "--format", "{{.Name}}").split() == ["other"]
    assert lab.docker("h1", "config", "ls", "-q") == ""
    networks = lab.docker("h1", "network", "ls", "-f", "driver=overlay", "--format", "{{.Name}}")
    assert sorted(networks.split()) == ["ingress", "net"]
    for host in lab.hosts:
        until(lambda host=host: not lab.docker(host, "ps", "-aq"), LONG)
    code, _, said = lab.tried("h1", "stack", "rm", "s0")
    assert (code, said) == (0, "Nothing found in stack: s0\n")
