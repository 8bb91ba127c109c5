"""What ``skep`` asks of the API is what docker's client asks, flag by flag: the two side by side
before the same canned answers."""

import json
import shlex
import shutil

import pytest
from fake_api import Answer, FakeApi, differences, essence, refuse

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker CLI")

CREATE = (
    "--name web --replicas 3 -l a=b -l c --container-label d=e -e A=1 -e FROMENV -e EMPTY=",
    "--mode global --endpoint-mode dnsrr --hostname {{.Node.Hostname}} --isolation default",
    "--mode replicated-job --replicas 5 --max-concurrent 2",
    "--mode global-job",
    "--entrypoint 'sh -c \"a b\"' --workdir /w --user 1:2 --group 3 --group 4 -t --init=false",
    "--constraint node.role==worker --constraint node.labels.a!=b --replicas-max-per-node 2",
    "--placement-pref spread=node.labels.zone --placement-pref spread=engine.labels.x",
    "--limit-cpu 0.5 --limit-memory 32m --limit-pids 9 --reserve-cpu .25 --reserve-memory 1g",
    "--generic-resource gpu=2 --generic-resource ssd=1 --oom-score-adj 5",
    "--restart-condition on-failure --restart-delay 1s --restart-max-attempts 0 "
    "--restart-window 1m",
    "--update-parallelism 0 --update-delay 2s --update-monitor 3s --update-max-failure-ratio .2 "
    "--update-failure-action rollback --update-order start-first",
    "--rollback-parallelism 2 --rollback-delay 2s --rollback-monitor 3s --rollback-order "
    "start-first --rollback-max-failure-ratio .2 --rollback-failure-action continue",
    "--health-cmd 'curl x' --health-interval 5s --health-timeout 3s --health-retries 2 "
    "--health-start-period 1s --health-start-interval 2s",
    "--no-healthcheck --stop-signal SIGINT --stop-grace-period 0s --read-only",
    "--dns 1.1.1.1 --dns-search a.b --dns-option ndots:2 --host a:1.2.3.4 --host b:::1",
    "--cap-add NET_ADMIN --cap-drop cap_chown --sysctl net.a=1 --ulimit nofile=1:2 --ulimit core=0",
    "--mount type=volume,src=v,dst=/v,volume-nocopy,volume-label=a=b,readonly "
    "--mount type=bind,src=/a,dst=/b,bind-propagation=rslave --mount type=tmpfs,dst=/t,"
    "tmpfs-size=1m,tmpfs-mode=0700 --mount dst=/anonymous",
    "-p 80 -p 8080:80 -p 9000-9001:90-91/udp -p published=81,target=82,mode=host,protocol=sctp",
    "--network net --network name=other,alias=a,alias=b,driver-opt=k=v",
    "--secret sec --secret source=sec,target=t,uid=1,gid=2,mode=0400 "
    "--config source=cfg,target=/etc/x,mode=0444",
    "--log-driver json-file --log-opt max-size=1m --with-registry-auth",
)
"""Flags of ``service create``."""

UPDATE = (
    "--image nginx:2 --args 'x \"y z\"' --force --replicas 7",
    "--env-add A=2 --env-rm B --label-add x=y --label-rm a --container-label-add z=1 "
    "--container-label-rm d",
    "--constraint-add node.id==x --constraint-rm node.role==worker --placement-pref-rm "
    "spread=node.labels.zone --placement-pref-add spread=node.labels.rack",
    "--mount-add type=tmpfs,dst=/n --mount-rm /v --publish-add 82:83 --publish-rm 80",
    "--network-add other --network-rm net --dns-add 8.8.8.8 --dns-rm 1.1.1.1 --host-add c:1.1.1.1 "
    "--host-rm a:1.2.3.4 --dns-option-add a --dns-option-rm ndots:2 --dns-search-rm a.b "
    "--dns-search-add c",
    "--secret-add source=other,target=o --secret-rm sec --config-rm cfg --config-add more",
    "--sysctl-add net.b=2 --sysctl-rm net.a --ulimit-add core=1 --ulimit-rm nofile --group-add 9 "
    "--group-rm 3 --cap-add KILL --cap-drop NET_ADMIN",
    "--limit-cpu 0 --limit-memory 64m --reserve-memory 0 --limit-pids 0 --generic-resource-add g=1 "
    "--generic-resource-rm gpu",
    "--update-parallelism 9 --update-order stop-first --rollback-monitor 9s --restart-condition "
    "none --restart-delay 9s --restart-window 9s --restart-max-attempts 9",
    "--health-cmd x --health-retries 9", "--no-healthcheck", "--endpoint-mode vip",
    "--hostname n --user 5 --workdir /y --entrypoint z --read-only=false --tty=false --init "
    "--stop-grace-period 9s --stop-signal SIGUSR1 --isolation hyperv --oom-score-adj 1",
    "--log-driver none --log-opt a=b", "--replicas-max-per-node 0",
)  # fmt: skip
"""Flags of ``service update``."""

OTHERS = (
    "service update -d --rollback web", "service scale -d web=4", "service rollback -d web",
    "service rm web",
    "node update --availability drain --label-add x=y --label-add z --role manager n1",
    "node update --label-rm a n1", "node promote n1", "node demote boss", "node rm -f n1 n2",
    "secret create -l a=b -l c --template-driver golang new FILE", "secret rm a b",
    "secret create -d vault new", "config create -l a=b --template-driver golang new FILE",
    "config rm a",
    "network create -d overlay --attachable --internal --subnet 10.1.0.0/24 --gateway 10.1.0.9 "
    "--ip-range 10.1.0.0/25 --aux-address a=10.1.0.3 -o encrypted= -o a=b --label x=y --scope "
    "swarm --ipam-driver default --ipam-opt k=v new",
    "network create --ingress -d overlay --ipv6 --subnet fd00::/64 new",
    "network create --config-only --ipv4=false new", "network create --config-from base new",
    "network rm -f a b", "network connect --alias a --ip 1.2.3.4 --ip6 ::1 --link x:y "
    "--link-local-ip 169.254.1.1 --driver-opt a=b --gw-priority 3 net box",
    "network disconnect -f net box", "network prune -f --filter until=1h --filter label=a",
    "swarm init --advertise-addr eth0 --listen-addr 1.2.3.4 --data-path-addr eth1 "
    "--data-path-port 5000 --default-addr-pool 10.1.0.0/16 --default-addr-pool-mask-length 26 "
    "--availability drain --cert-expiry 48h --dispatcher-heartbeat 3s --task-history-limit 2 "
    "--force-new-cluster --max-snapshots 1 --snapshot-interval 2 --autolock",
    "swarm join --token x --advertise-addr 1.1.1.1 --data-path-addr eth1 --listen-addr 1.1.1.1:99 "
    "--availability pause 2.2.2.2:2377",
    "swarm update --cert-expiry 48h --dispatcher-heartbeat 3s --task-history-limit 2",
    "swarm update --external-ca protocol=cfssl,url=https://x,a=b --autolock",
    "swarm join-token --rotate -q worker", "swarm leave -f",
    "run -d --name box --network name=net,alias=a,ip=10.0.0.5 -e A=1 --label x=y --hostname h "
    "--dns 1.1.1.1 --add-host a:1.2.3.4 -v /a:/b:ro --mount type=tmpfs,dst=/t --memory 32m "
    "--cpus .5 --restart on-failure:3 --cap-add KILL --user 5 -w /w --init --read-only "
    "--ulimit nofile=1:2 --sysctl net.a=b --stop-signal SIGINT --health-cmd x --tmpfs /u:size=1m "
    "--entrypoint sh busybox -c x",
)  # fmt: skip
"""All else that changes something."""

SERVICE = {
    "ID": "w" * 25,
    "Version": {"Index": 7},
    "Spec": {
        "Name": "web",
        "Labels": {"a": "b"},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "nginx:1", "Env": ["A=1", "B=2"], "Labels": {"d": "e"},
                "Mounts": [{"Type": "volume", "Source": "v", "Target": "/v"}],
                "DNSConfig": {"Nameservers": ["1.1.1.1"], "Search": ["a.b"],
                              "Options": ["ndots:2"]},
                "Hosts": ["1.2.3.4 a"], "Groups": ["3"], "Sysctls": {"net.a": "1"},
                "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
                "CapabilityAdd": ["CAP_NET_ADMIN"], "Isolation": "default",
                "Secrets": [{"File": {"Name": "sec", "UID": "0", "GID": "0", "Mode": 292},
                             "SecretID": "sec-id", "SecretName": "sec"}],
                "Configs": [{"File": {"Name": "/cfg", "UID": "0", "GID": "0", "Mode": 292},
                             "ConfigID": "cfg-id", "ConfigName": "cfg"}],
            },
            "Resources": {
                "Limits": {"NanoCPUs": 500000000, "Pids": 4},
                "Reservations": {"MemoryBytes": 1048576, "GenericResources": [
                    {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}]},
            },
            "Placement": {"Constraints": ["node.role==worker"], "Preferences": [
                {"Spread": {"SpreadDescriptor": "node.labels.zone"}}]},
            "Networks": [{"Target": "net-id"}],
            "ForceUpdate": 0,
            "Runtime": "container",
        },
        "Mode": {"Replicated": {"Replicas": 2}},
        "EndpointSpec": {"Mode": "vip", "Ports": [
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"},
        ]},
    },
    "Endpoint": {"Spec": {}},
}  # fmt: skip
NODE = {
    "ID": "n" * 25,
    "Version": {"Index": 5},
    "Spec": {"Role": "worker", "Availability": "active", "Labels": {"a": "b"}},
    "Description": {"Hostname": "n1"},
    "ManagerStatus": {"Leader": True, "Addr": "1.2.3.4:2377"},
}
SWARM = {
    "ID": "s" * 25,
    "Version": {"Index": 4},
    "Spec": {"Name": "default", "Labels": {}, "Raft": {"SnapshotInterval": 10000},
             "CAConfig": {"NodeCertExpiry": 7776000000000000}},
    "JoinTokens": {"Worker": "SWMTKN-1-w", "Manager": "SWMTKN-1-m"},
}  # fmt: skip


@pytest.fixture
def api(tmp_path):
    server = FakeApi(tmp_path / "api")
    made = Answer(201, {"ID": "i" * 25, "Id": "i" * 64, "Warnings": []})
    server.answers = {
        "GET /info": {"Swarm": {"NodeID": "n" * 25, "LocalNodeState": "active",
                                "ControlAvailable": True}},
        "GET /services/*": SERVICE,
        "GET /services": [SERVICE],
        "GET /nodes/*": NODE,
        "GET /nodes/boss": NODE | {"Spec": NODE["Spec"] | {"Role": "manager"}},
        "POST /swarm/init": "n" * 25,
        "GET /swarm": SWARM,
        "GET /swarm/unlockkey": {"UnlockKey": "SWMKEY-1-x"},
        "GET /networks/*": network,
        "GET /secrets": named,
        "GET /configs": named,
        "GET /distribution/*": refuse(404, "no registry"),
        "GET /containers/*": {"Id": "i" * 64},
        "POST *": made,
        "DELETE *": Answer(204),
    }  # fmt: skip
    (tmp_path / "FILE").write_text("content")
    yield server
    server.close()


def network(handler, asked):
    name = asked.path.rpartition("/")[2].removesuffix("-id")
    found = {"Id": f"{name}-id", "Name": name, "Scope": "swarm", "Driver": "overlay"}
    handler._send(Answer(body=found))


def named(handler, asked):
    names = json.loads(asked.query.get("filters", "{}")).get("name", {})
    found = [{"ID": f"{name}-id", "Spec": {"Name": name}} for name in names]
    handler._send(Answer(body=found))


def test_every_flag_is_among_these(api):
    """What docker's help lists and no row of the tables uses would go unseen."""
    for command, rows in (("create", CREATE), ("update", UPDATE)):
        used = {word.partition("=")[0] for row in rows for word in row.split()}
        helped = api.docker("service", command, "--help").output
        flags = {word.strip(",") for line in helped.splitlines() for word in line.split()[:2]
                 if line.startswith("  ") and word.startswith("--")}  # fmt: skip
        unused = flags - used - {"--detach", "--quiet", "--env", "--label", "--tty", "--publish",
                                 "--no-resolve-image", "--env-file", "--credential-spec",
                                 "--replicas)", "--rollback"}  # fmt: skip
        if command == "update":
            # Written by the same code as those of create, which are all there.
            unused -= {word for row in CREATE for word in row.split()} | {"--with-registry-auth"}
        assert not unused


@pytest.mark.parametrize(
    "line",
    [
        *(f"service create -d --no-resolve-image {flags} nginx:1 arg" for flags in CREATE),
        *(f"service update -d --no-resolve-image {flags} web" for flags in UPDATE),
        *OTHERS,
    ],
)
def test_the_same_is_asked(api, line):
    words, asked = shlex.split(line), []
    for done in (api.docker(*words, FROMENV="x"), api.skep(*words, FROMENV="x")):
        # Of a container that nobody attaches to, docker's client awaits the end all the same.
        changing = [
            each
            for each in done.asked
            if each.method in ("POST", "DELETE") and not each.path.endswith("/wait")
        ]
        assert changing, f"it asks for no change: {done.output}{done.complaints}"
        asked.append([
            [each.line, {key: value for key, value in each.query.items() if value not in ("", "0")},
             essence(each.body)] for each in changing
        ])  # fmt: skip
        assert done.code == 0, done.complaints
    docker, skep = asked
    assert differences(docker, skep) == []
