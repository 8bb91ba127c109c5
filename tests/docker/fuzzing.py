"""Requests for a whole engine's API, made up by hypothesis: some that make sense, many that do not.

Names come from a handful, so that requests meet one another's objects.
"""

import json
from urllib.parse import quote

from hypothesis import strategies as st

from skep.api.routes import ROUTES

ENDLESS = ("/events", "/logs", "/stats", "/attach", "/wait", "/page", "/exec/{id}/start")
"""What answers for as long as it likes is asked elsewhere."""

LEFT_OUT = (
    "/swarm/leave", "/swarm/join", "/swarm/init", "/swarm/update", "/system/df", "/skep/hold",
    "/skep/matrix", "/skep/doctor", "/skep/trace", "/skep/rotate-keys",
)  # fmt: skip
"""What would end the swarm that the others are asked in, or takes long and changes nothing."""

ASKED = [
    route
    for route in ROUTES
    if not any(word in route.pattern for word in ENDLESS) and route.pattern not in LEFT_OUT
]
OFTEN = [
    route
    for route in ASKED
    if route.pattern.startswith(("/containers", "/networks", "/exec", "/volumes"))
    and route.method in ("POST", "DELETE")
]
"""Those that change something of a host."""

CONTAINERS = st.sampled_from(["c1", "c2", "c3"])
NETWORKS = st.sampled_from(["n1", "n2", "o1", "bridge", "host", "none", "default"])
NAMES = st.one_of(CONTAINERS, NETWORKS, st.sampled_from(
    ["v1", "busybox", "busybox:latest", "nosuch", "s1", "..", "a b", "%", "é", "x" * 200]
))  # fmt: skip
WORDS = st.one_of(
    NAMES, st.sampled_from(["", "0", "-1", "true", "10.99.0.0/24", "fd99::/64", "\x00", "9" * 30])
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-2, 2**63), WORDS)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)


def part(**members):
    """An object of which any members may be there, and now and then one is junk."""
    return st.fixed_dictionaries({}, optional={
        name: st.one_of(value, value, value, value, JUNK) for name, value in members.items()
    })  # fmt: skip


NUMBERS = st.sampled_from([0, 1, -1, 4 << 20, 64 << 20, 2**62])
LISTS = st.lists(WORDS, max_size=2)
MAPS = st.dictionaries(WORDS, WORDS, max_size=2)
ENDPOINT = part(
    Aliases=LISTS, Links=LISTS, MacAddress=st.sampled_from(["02:42:00:00:00:09", "x", ""]),
    IPAMConfig=part(IPv4Address=st.sampled_from(["10.99.0.9", "1.2.3.4", "x"]), LinkLocalIPs=LISTS),
    DriverOpts=MAPS, GwPriority=NUMBERS,
)  # fmt: skip
HOST = part(
    NetworkMode=st.one_of(NETWORKS, st.sampled_from(["container:c1", "container:", "nosuch"])),
    Memory=NUMBERS, NanoCpus=NUMBERS, PidsLimit=NUMBERS, ShmSize=NUMBERS, CpusetCpus=WORDS,
    RestartPolicy=part(Name=st.sampled_from(["no", "on-failure", "rubbish"])),
    Binds=st.lists(st.sampled_from(["v1:/v", "/v", "v1", ":", "a:b:c:d"]), max_size=2),
    PortBindings=st.dictionaries(
        st.sampled_from(["80/tcp", "81/udp", "x", "70000/tcp"]),
        st.lists(part(HostPort=st.sampled_from(["", "8099", "0", "x"]), HostIp=WORDS), max_size=2),
        max_size=2,
    ),
    PublishAllPorts=st.booleans(), CapAdd=LISTS, CapDrop=LISTS, Dns=LISTS, ExtraHosts=LISTS,
    Links=LISTS, Sysctls=MAPS, Tmpfs=MAPS, Privileged=st.booleans(), ReadonlyRootfs=st.booleans(),
    Mounts=st.lists(part(Type=st.sampled_from(["volume", "bind", "tmpfs", "x"]), Source=WORDS,
                         Target=st.sampled_from(["/t", "", "t"])), max_size=2),
    Ulimits=st.lists(part(Name=WORDS, Soft=NUMBERS, Hard=NUMBERS), max_size=2),
    Devices=st.lists(part(PathOnHost=WORDS, PathInContainer=WORDS), max_size=1),
    LogConfig=part(Type=st.sampled_from(["json-file", "none", "x"]), Config=MAPS),
    IpcMode=WORDS, PidMode=WORDS, UTSMode=WORDS, SecurityOpt=LISTS, GroupAdd=LISTS,
    DeviceCgroupRules=LISTS, Annotations=MAPS, OomScoreAdj=NUMBERS, VolumesFrom=LISTS,
)  # fmt: skip
IMAGE = st.sampled_from(["busybox"] * 8 + ["nosuch", "", "../x", "UPPER"])
CONTAINER = st.fixed_dictionaries(
    {"Image": IMAGE, "Cmd": st.sampled_from([["sleep", "600"], ["true"], ["nosuch"], [], "true"])},
    optional={
        "HostConfig": HOST, "Env": LISTS, "Labels": MAPS, "User": WORDS, "WorkingDir": WORDS,
        "Hostname": WORDS, "Domainname": WORDS, "StopSignal": WORDS, "StopTimeout": NUMBERS,
        "ExposedPorts": st.dictionaries(WORDS, st.just({}), max_size=2), "Tty": st.booleans(),
        "Healthcheck": part(Test=LISTS, Interval=NUMBERS), "Volumes": MAPS,
        "NetworkingConfig": part(
            EndpointsConfig=st.dictionaries(NETWORKS, st.none() | ENDPOINT, max_size=2)
        ),
    },
)  # fmt: skip
SUBNETS = st.sampled_from(["10.99.0.0/24", "10.99.1.0/30", "fd99::/64", "0.0.0.0/0", "x", ""])
NETWORK = part(
    Name=st.sampled_from(["n1", "n2", "o1", "", "a b", "bridge"]),
    Driver=st.sampled_from(["bridge", "bridge", "bridge", "overlay", "macvlan", "ipvlan", "x"]),
    Internal=st.booleans(), EnableIPv6=st.booleans(), Attachable=st.just(True), Options=MAPS,
    IPAM=part(Driver=WORDS, Config=st.lists(part(Subnet=SUBNETS, Gateway=WORDS), max_size=2)),
    Labels=MAPS, Ingress=st.booleans(), ConfigOnly=st.booleans(), Scope=WORDS,
)  # fmt: skip
SERVICE = part(
    Name=st.sampled_from(["s1", "s2", "a b", ""]),
    TaskTemplate=part(
        ContainerSpec=part(Image=IMAGE, Command=st.just(["sleep", "600"]), Env=LISTS, Mounts=JUNK),
        Networks=st.lists(part(Target=NETWORKS), max_size=2), Placement=JUNK, Resources=JUNK,
    ),
    Mode=part(Replicated=part(Replicas=NUMBERS), Global=st.just({})),
    EndpointSpec=part(Ports=st.lists(part(TargetPort=NUMBERS, PublishedPort=NUMBERS), max_size=2)),
)  # fmt: skip
BODIES = {
    "/containers/create": CONTAINER,
    "/containers/{id}/update": HOST,
    "/containers/{id}/exec": part(Cmd=st.sampled_from([["true"], ["nosuch"], []]), User=WORDS,
                                  Env=LISTS, WorkingDir=WORDS, Tty=st.booleans()),
    "/networks/create": NETWORK,
    "/networks/{id}/connect": part(Container=CONTAINERS, EndpointConfig=ENDPOINT),
    "/networks/{id}/disconnect": part(Container=CONTAINERS, Force=st.booleans()),
    "/services/create": SERVICE,
    "/volumes/create": part(Name=st.sampled_from(["v1", "a b", ""]), Driver=WORDS,
                            DriverOpts=MAPS, Labels=MAPS),
    "/secrets/create": part(Name=WORDS, Data=WORDS, Labels=MAPS),
}  # fmt: skip
PARAMETERS = st.dictionaries(
    st.sampled_from(["all", "limit", "size", "force", "v", "signal", "version", "path", "h", "w",
                     "tag", "repo", "container", "since", "names", "fromImage", "fromSrc", "quiet",
                     "platform", "noOverwriteDirNonDir", "remote", "dockerfile", "q"]),
    st.one_of(WORDS, st.integers(-5, 2**40).map(str)),
    max_size=2,
)  # fmt: skip
FILTERS = st.dictionaries(
    st.sampled_from(["name", "id", "label", "status", "until", "network", "bogus", "dangling"]),
    st.one_of(LISTS, st.dictionaries(WORDS, st.booleans(), max_size=2), SCALARS),
    max_size=2,
)


@st.composite
def requests(draw):
    """Method, path, parameters, body: bytes or a JSON value."""
    route = draw(st.sampled_from(draw(st.sampled_from([ASKED, OFTEN]))))
    pattern = route.pattern.replace("*", "")
    of = NETWORKS if "/networks/" in pattern else CONTAINERS if "/containers/" in pattern else NAMES
    path = pattern
    for name in ("{id}", "{name}"):
        path = path.replace(name, quote(draw(st.one_of(of, of, of, NAMES)), safe=""))
    parameters = draw(PARAMETERS)
    parameters["t"] = "0"
    if pattern == "/containers/create":
        parameters["name"] = draw(CONTAINERS)
    elif "rename" in pattern:
        parameters["name"] = draw(NAMES)
    if draw(st.booleans()) and route.method == "GET":
        parameters["filters"] = json.dumps(draw(FILTERS))
    body = draw(BODIES[pattern]) if pattern in BODIES else draw(
        st.one_of(st.none(), JUNK, st.binary(max_size=600))
    )  # fmt: skip
    return route.method, path, parameters, body
