# The words of the walkthroughs. Sourced with these set: LAB, PYTHON, DOCKER.
NETNS=/run/netns
LABS=${LABS:-/run/skep-lab}
SOCK1=$LABS/$LAB/h1/run/docker.sock
SOCK2=$LABS/$LAB/h2/run/docker.sock
IP1=192.168.90.11
IP2=192.168.90.12
IF1=eth0
IF2=eth0
unset DOCKER_HOST DOCKER_CONTEXT DOCKER_API_VERSION DOCKER_TLS_VERIFY DOCKER_CERT_PATH

# The docker client against a host, and a command inside a host.
D() { local host=SOCK$1; shift; "$DOCKER" -H "unix://${!host}" "$@"; }
D1() { D 1 "$@"; }
D2() { D 2 "$@"; }
# The latter is what `skep lab exec` becomes.
N() {
    local init
    init=$(sed 's/.*"pid":\([0-9]*\).*/\1/' "$LABS/$LAB/h$1/init.json")
    shift
    env -C / nsenter --target="$init" --mount --uts --ipc --net --pid --cgroup --root -- "$@"
}
N1() { N 1 "$@"; }
N2() { N 2 "$@"; }

# IN HOST NAMESPACE COMMAND...: inside a network namespace of a host.
IN() { local host=$1 space=$2; shift 2; N "$host" nsenter --net="$NETNS/$space" "$@"; }

# A network's id, and its first 10 and 9 characters.
nid() { D1 network inspect -f '{{.Id}}' "$1"; }
n10() { local id; id=$(nid "$1"); echo "${id:0:10}"; }
n9() { local id; id=$(nid "$1"); echo "${id:0:9}"; }

# sbox HOST CONTAINER: the name of its namespace.
sbox() { local key; key=$(D "$1" inspect -f '{{.NetworkSettings.SandboxKey}}' "$2"); echo "${key##*/}"; }

# cip HOST CONTAINER NETWORK: its address there, without prefix length.
cip() { D "$1" inspect -f "{{(index .NetworkSettings.Networks \"$3\").IPAddress}}" "$2"; }

# vip SERVICE NETWORK: the service's address there, with prefix length.
vip() {
    local id
    id=$(nid "$2")
    D1 service inspect -f '{{range .Endpoint.VirtualIPs}}{{.NetworkID}} {{.Addr}}{{"\n"}}{{end}}' "$1" |
        awk -v id="$id" '$1 == id {print $2}'
}

# mac ADDRESS[/PREFIX]: the MAC of the endpoint with that address.
mac() { local ip=${1%/*}; printf '02:42:%02x:%02x:%02x:%02x\n' ${ip//./ }; }

# task HOST SERVICE: the (first) container of a service on a host; cnode SERVICE: a host with one.
task() { D "$1" ps --no-trunc -qf "name=$2." | head -n 1; }
cnode() { local host; for host in 1 2; do if [ -n "$(task $host "$1")" ]; then echo $host; return; fi; done; return 1; }

# ifof HOST NAMESPACE ADDRESS: the interface that has it.
ifof() { IN "$1" "$2" ip -4 -o addr | awk -v ip="$3" '{split($4, part, "/")} part[1] == ip {print $2; exit}'; }

# retry SECONDS COMMAND...: until it holds, or time is up (an emulated machine has five times as long).
retry() {
    local slow=${SKEP_GUEST:+5}
    local end=$((SECONDS + $1 * ${slow:-1}))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.3
    done
}

# running SERVICE N/N: so many replicas of it run.
running() { D1 service ls --format '{{.Name}} {{.Replicas}}' | grep -x -- "$1 $2" >/dev/null; }
