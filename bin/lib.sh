# Sourced by the commands beside it: finds or makes what they need, and says what it is doing.
# Everything it makes is below .venv; what it installs are packages of the distribution.
set -euo pipefail

# bin/ may be reached through a link.
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
venv=$root/.venv
python=$venv/bin/python
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:$venv/bin"

# A program that shows that a package is there, and the package.
packages=(
    podman:podman runc:runc conmon:conmon catatonit:catatonit nft:nftables ip:iproute2 bridge:iproute2
    busybox:busybox-static tcpdump:tcpdump curl:curl brctl:bridge-utils ethtool:ethtool ps:procps
    nsenter:util-linux wg:wireguard-tools wireguard-go:wireguard-go
)

say() { printf '· %s\n' "$*" >&2; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# One at a time sets up a checkout. The descriptor is closed when the caller's subshell ends.
alone() (
    exec 9<"$root"
    flock 9
    "$@"
)

# apt_install PACKAGE...: without questions, and without starting what the packages bring.
apt_install() {
    command -v apt-get >/dev/null || die "please install: $* (this is not Debian or Ubuntu)"
    [ "$(id -u)" = 0 ] || die "packages are missing: run it as root, or install: $*"
    say "installing packages: $*"
    apt_lists
    without_services apt_get install --no-install-recommends "$@" ||
        { apt_get update && without_services apt_get install --no-install-recommends "$@"; } ||
        die "the packages could not be installed: $(tail -n 3 "$apt_log")"
}

# A machine out of an image may have no package lists at all; old ones usually do.
apt_lists() { compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || apt_get update || true; }

apt_log=/dev/null
apt_get() {
    [ "$apt_log" != /dev/null ] || apt_log=$(mktemp)
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 \
        -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$apt_log" 2>&1
}

# Debian asks policy-rc.d before it starts a service of a package it installs.
without_services() {
    local policy=/usr/sbin/policy-rc.d status=0
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    "$@" || status=$?
    rm -f "$policy"
    return "$status"
}

# What the lab and the tests run. Asking for the programs costs nothing; asking dpkg would.
need_packages() { alone _need_packages; }
_need_packages() {
    local missing=() entry
    for entry in "${packages[@]}"; do
        command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
    done
    case $(ldconfig -p) in *libnftables.so.1*) ;; *) missing+=(libnftables1) ;; esac
    if [ "${#missing[@]}" -gt 0 ]; then apt_install "${missing[@]}"; fi
}

# What some tests need besides: a Prometheus that reads what hosts measure, a browser for the page,
# firewalls to stand beside.
need_test_programs() { alone _need_test_programs; }
_need_test_programs() {
    command -v prometheus >/dev/null || apt_install prometheus
    command -v chromium >/dev/null || apt_install chromium fonts-dejavu-core
    command -v iptables >/dev/null || apt_install iptables
    [ -e "$venv/firewalls" ] || _unpack_firewalls
    [ -x "$venv/docker-engine/usr/sbin/dockerd" ] || _unpack_docker_engine
    [ -x "$venv/registry/usr/bin/docker-registry" ] || unpack registry docker-registry
}

# Docker Engine, to compare with: its programs only, so that no daemon of it ever starts here.
_unpack_docker_engine() {
    case $(ldconfig -p) in *libdevmapper.so.1.02.1*) ;; *) apt_install libdevmapper1.02.1 ;; esac
    say "fetching Docker Engine out of the packages docker.io, containerd and tini"
    unpack docker-engine docker.io containerd tini
}

# ufw and firewalld, with what firewalld talks by: this machine's own firewall is none of our business.
_unpack_firewalls() {
    say "fetching ufw and firewalld, for tests to run inside their hosts"
    unpack firewalls ufw firewalld python3-firewall python3-nftables python3-dbus python3-gi \
        gir1.2-glib-2.0 libgirepository-1.0-1 dbus-bin dbus-daemon libdbus-1-3
}

# unpack FOLDER PACKAGE...: what packages contain, in a folder of the virtual environment. Nothing of
# them is set up on this machine.
unpack() (
    into=$venv/$1
    shift
    folder=$(mktemp -d)
    chmod 755 "$folder"
    cd "$folder"
    apt_lists
    apt_get download "$@" || { apt_get update && apt_get download "$@"; } ||
        die "these packages could not be fetched: $* ($(tail -n 1 "$apt_log"))"
    for package in *.deb; do dpkg-deb -x "$package" tree; done
    # Where /lib is a link to /usr/lib, nothing may lie beside it.
    if [ -d tree/lib ]; then
        cp -a tree/lib/. tree/usr/lib
        rm -r tree/lib
    fi
    rm -rf "$into"
    mv tree "$into"
    rm -rf "$folder"
)

# What boots a machine with a kernel that has everything (tests/guest), and shows IPVS there.
need_guest() { alone _need_guest; }
_need_guest() {
    local missing=() entry
    for entry in qemu-system-x86_64:qemu-system-x86 ipvsadm:ipvsadm depmod:kmod; do
        command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
    done
    if [ "${#missing[@]}" -gt 0 ]; then apt_install "${missing[@]}"; fi
    [ -e /usr/lib/qemu/virtiofsd ] || [ -e /usr/libexec/virtiofsd ] || apt_install virtiofsd
    apt_lists
}

# A docker client: the one that is there, else the distribution's. Where that one comes only together
# with the daemon, just the client is taken out of the package: nothing of Docker is set up here.
need_docker() { command -v docker >/dev/null || alone _need_docker; }
_need_docker() {
    [ "$(id -u)" = 0 ] || die "there is no docker client: run it as root, or install one"
    command -v apt-get >/dev/null || die "there is no docker client: please install one"
    apt_lists
    if apt-cache show docker-cli 2>/dev/null | grep '^Filename:' >/dev/null; then
        apt_install docker-cli
        return
    fi
    say "fetching the docker client out of the package docker.io"
    local folder
    folder=$(mktemp -d)
    chmod 755 "$folder"
    cd "$folder"
    apt_get download docker.io || { apt_get update && apt_get download docker.io; } ||
        die "the docker client could not be fetched: $(tail -n 1 "$apt_log")"
    dpkg-deb -x docker.io_*.deb .
    install -m 755 usr/bin/docker "$venv/bin/docker"
    rm -rf "$folder"
}

# The virtual environment, from the lock file and for this checkout.
need_python() {
    if [ -x "$python" ] && cmp -s "$root/requirements.lock" "$venv/.requirements.lock"; then return; fi
    alone _need_python
}
_need_python() {
    if [ ! -x "$python" ] || ! "$python" -m pip --version >/dev/null 2>&1; then
        local system
        system=$(find_python) || {
            apt_install python3 python3-venv
            system=$(find_python) ||
                die "Skep needs Python 3.11 or newer; this machine has $(python3 --version 2>&1)"
        }
        say "making a virtual environment with $("$system" --version)"
        "$system" -m venv --clear "$venv"
    fi
    say "installing Python packages from requirements.lock"
    "$python" -m pip install -qq --disable-pip-version-check --no-input --no-deps \
        --root-user-action=ignore --require-hashes -r "$root/requirements.lock" >&2 ||
        die "the Python packages could not be installed"
    local packages_folder
    packages_folder=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$root/src" >"$packages_folder/skep.pth"
    cp "$root/requirements.lock" "$venv/.requirements.lock"
}

# A Python that is new enough and can make environments (Debian splits that off).
find_python() {
    local name path
    for name in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
        path=$(command -v "$name") || continue
        "$path" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
            continue
        printf '%s\n' "$path"
        return
    done
    return 1
}
