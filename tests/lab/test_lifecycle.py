"""Whole labs: made, entered, cut apart, broken in every way, and removed without a trace."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab_scene import COMMAND, remove, until, wish

from skep.lab import cgroups, records, switch, system
from skep.lab.layout import PRIVATE_FOLDERS, RUN, STATE
from skep.lab.status import find, find_pair, status
from skep.lab.up import Condition, condition, up
from skep.model.errors import Broken, Clash, Invalid, Missing, Unavailable

pytestmark = pytest.mark.root


def quiet(step):
    pass


def inside(host, *command, **options):
    """Run a command in a host by the real ``skep lab exec``."""
    skep = [sys.executable, "-m", "skep.cli.main", "lab", "exec", "--name", host.lab, host.name]
    return subprocess.run(
        [*skep, "--", *command], capture_output=True, text=True, check=False, **options
    )


def reaches(one, other):
    script = f"busybox ping -c 1 -W 1 {other.address}"
    return inside(one, "sh", "-c", script).returncode == 0


def namespaces(lab, hosts):
    """Inodes of all namespaces that the lab made for itself."""
    own = {kind: os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("net", "mnt", "pid", "uts")}
    found = {lab.switch.stat().st_ino}
    for host in hosts:
        init = records.init_of(host)
        found |= {os.stat(f"/proc/{init.pid}/ns/{kind}").st_ino for kind in own}
    assert not found & set(own.values())
    return found


def held(inodes):
    """Which of the namespaces some process is in, or has mounted."""
    kept = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            kept |= {os.stat(item).st_ino for item in (process / "ns").iterdir()} & inodes
            table = (process / "mountinfo").read_text()
            kept |= {inode for inode in inodes if f"net:[{inode}]" in table}
        except OSError:
            continue
    return kept


def traces(lab):
    """Everything that is left of a lab."""
    files = [folder for folder in (lab.folder, lab.storage) if folder.exists()]
    groups = [tree.top / lab.name for tree in cgroups.hierarchies()]
    mounted = [item.target for item in system.mounts() if lab.name in item.target]
    processes = [
        process.name
        for process in Path("/proc").glob("[0-9]*")
        if _command_line(process).find(f'"lab":"{lab.name}"') >= 0
    ]
    return files + [group for group in groups if group.exists()] + mounted + processes


def _command_line(process):
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def root_links():
    return subprocess.check_output(["ip", "-br", "link"], text=True).split("\n")


def test_hosts_have_their_own_of_everything_and_see_each_other(duo):
    first, second = duo.hosts(2)
    assert inside(first, "hostname").stdout == "h1\n"
    assert inside(first, "cat", "/proc/1/comm").stdout.startswith("python")
    assert "192.168.90.12/24" in inside(second, "ip", "-4", "-o", "address").stdout
    assert "mtu 1500" in inside(second, "ip", "-o", "link", "show", "eth0").stdout
    assert inside(first, "ip", "route", "show", "default").stdout == ""
    assert os.listdir(first.run) == ["docker.sock"]
    assert inside(first, "ls", "/run").stdout == "docker.sock\n"
    inside(first, "touch", "/var/lib/skep/mine", "/dev/shm/mine")
    assert inside(second, "ls", "/var/lib/skep", "/dev/shm").stdout.find("mine") < 0
    assert (first.storage / "skep" / "mine").exists()
    until(lambda: reaches(first, second) and reaches(second, first), 60)
    assert inside(first, "getent", "hosts", "h2").stdout.split() == ["192.168.90.12", "h2"]


def test_the_machine_s_own_network_is_left_alone(fresh_lab):
    before = root_links()
    up(fresh_lab(), wish(hosts=2), quiet)
    assert root_links() == before


def test_a_host_s_network_can_be_configured_from_inside(duo):
    written = inside(duo.host(1), "sysctl", "-w", "net.ipv4.ip_forward=1")
    assert written.returncode == 0, written.stderr


def test_down_leaves_nothing(duo):
    made = namespaces(duo, duo.hosts(2))
    assert held(made) == made
    pins = "mkdir /run/netns; ip netns add one; unshare -m sleep 600 & sleep 600 &"
    inside(duo.host(1), "sh", "-c", f"({pins}) >/dev/null 2>&1 </dev/null")
    assert remove(duo)
    assert traces(duo) == []
    until(lambda: held(made) == set(), 60)
    assert not remove(duo)


def test_folders_made_for_the_first_lab_go_with_the_last(fresh_lab, monkeypatch, tmp_path):
    monkeypatch.setattr("skep.lab.layout.PRIVATE_FOLDERS", PRIVATE_FOLDERS)
    lab = fresh_lab()
    before = [folder.exists() for folder in PRIVATE_FOLDERS.values()]
    up(lab, wish(hosts=1), quiet)
    assert all(folder.exists() for folder in PRIVATE_FOLDERS.values())
    remove(lab)
    if not records.known_labs():
        assert [folder.exists() for folder in PRIVATE_FOLDERS.values()] == before
        assert not RUN.exists() and not STATE.exists()


def test_two_labs_side_by_side_do_not_hold_each_other(fresh_lab):
    one, other = fresh_lab(), fresh_lab()
    up(one, wish(hosts=1), quiet)
    up(other, wish(hosts=1), quiet)
    assert inside(one.host(1), "ip", "-o", "-4", "address", "show", "eth0").stdout
    assert inside(other.host(1), "ip", "-o", "-4", "address", "show", "eth0").stdout
    made = namespaces(one, one.hosts(1))
    remove(one)
    # The kernel takes a namespace apart after its last process is gone.
    until(lambda: held(made) == set(), 60)
    assert condition(other) is Condition.UP


def test_control_groups_made_inside_are_inside_and_go(duo):
    inside(duo.host(1), "mkdir", "-p", "/sys/fs/cgroup/memory/libpod_parent/x")
    trees = [tree for tree in cgroups.hierarchies() if tree.controllers == "memory"]
    if not trees:  # version 2 has one tree for all
        trees = [tree for tree in cgroups.hierarchies() if not tree.controllers]
        inside(duo.host(1), "mkdir", "-p", "/sys/fs/cgroup/libpod_parent/x")
    assert (trees[0].group(duo.host(1)) / "libpod_parent" / "x").is_dir()
    remove(duo)
    assert traces(duo) == []


def test_exec_passes_input_output_and_exit_code(duo):
    ran = inside(duo.host(1), "sh", "-c", "read word; echo $word-$PWD; exit 7", input="hello\n")
    assert (ran.stdout, ran.returncode) == ("hello-/\n", 7)
    assert inside(duo.host(1), "ls", "-d", "--", "/").stdout == "/\n"
    assert inside(duo.host(1), "no-such-program").returncode == 127


def test_exec_gives_a_docker_client_no_foreign_address(duo):
    environment = os.environ | {"DOCKER_HOST": "tcp://elsewhere:1", "KEPT": "yes"}
    shown = inside(duo.host(1), "env", env=environment).stdout.splitlines()
    assert "KEPT=yes" in shown
    assert not [line for line in shown if line.startswith("DOCKER_")]


def test_a_terminal_reaches_into_the_host(duo):
    skep = f"{sys.executable} -m skep.cli.main lab exec --name {duo.name} h1 -- tty"
    ran = subprocess.run(
        ["script", "-qec", skep, "/dev/null"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0 and "not a tty" not in ran.stdout


def daemon(host):
    """The process number of a host's daemon, 0 for none."""
    init = records.init_of(host).pid
    children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
    return int(children[0]) if children else 0


def test_a_killed_daemon_comes_back(duo):
    host = duo.host(1)
    killed = until(lambda: daemon(host), 60)
    os.kill(killed, signal.SIGKILL)
    until(lambda: daemon(host) not in (0, killed), 60)
    until(lambda: status(duo).hosts[0].state == "up", 60)
    assert "killed by SIGKILL" in host.log.read_text()


def test_orphans_are_reaped(duo):
    inside(duo.host(1), "sh", "-c", "(sleep 0.01 &) ; (true &) ; exit 0")
    states = "cat /proc/[0-9]*/stat 2>/dev/null | awk '$3 == \"Z\"'"
    until(lambda: inside(duo.host(1), "sh", "-c", states).stdout == "", 60)


def test_sigterm_ends_the_whole_host(duo):
    init = records.init_of(duo.host(1))
    os.kill(init.pid, signal.SIGTERM)
    until(lambda: not records.alive(init), 60)
    assert "ending" in duo.host(1).log.read_text()
    assert status(duo).condition is Condition.BROKEN
    until(lambda: [entry.state for entry in status(duo).hosts] == ["ended", "up"], 60)


def test_cut_and_heal_can_be_repeated(duo):
    first, second = find_pair(duo, "h1", "h2")
    until(lambda: reaches(first, second), 60)
    switch.cut(duo, first, second)
    switch.cut(duo, second, first)
    assert switch.cuts(duo) == [("h1", "h2")] == list(status(duo).cuts)
    assert not reaches(first, second) and not reaches(second, first)
    switch.heal(duo, second, first)
    switch.heal(duo, first, second)
    assert switch.cuts(duo) == []
    until(lambda: reaches(first, second), 60)


def test_a_cut_leaves_others_connected(fresh_lab):
    lab = fresh_lab()
    one, two, three = up(lab, wish(hosts=3), quiet)
    switch.cut(lab, one, three)
    assert not reaches(one, three)
    until(lambda: reaches(one, two) and reaches(two, three), 60)


def test_up_again_continues_with_what_is_up(duo):
    steps = []
    before = [records.init_of(host) for host in duo.hosts(2)]
    assert len(up(duo, wish(), steps.append)) == 2
    assert f'lab "{duo.name}" is up already' in steps
    assert [records.init_of(host) for host in duo.hosts(2)] == before


def test_up_with_another_number_of_hosts_is_refused(duo):
    with pytest.raises(Clash, match="is up with 2 hosts"):
        up(duo, wish(hosts=3), quiet)
    assert condition(duo) is Condition.UP


def test_up_makes_a_lab_anew_when_a_host_has_ended(duo):
    records.kill(records.init_of(duo.host(2)))
    steps = []
    survivor = records.init_of(duo.host(1))
    up(duo, wish(hosts=2), steps.append)
    assert steps[0] == "removing what is left of an earlier lab"
    assert not records.alive(survivor)
    assert condition(duo) is Condition.UP


def test_after_a_reboot_files_are_all_there_is(fresh_lab):
    lab = fresh_lab()
    (lab.host(1).storage / "skep").mkdir(parents=True)
    (lab.host(1).storage / "skep" / "state.db").touch()
    assert condition(lab) is Condition.BROKEN
    up(lab, wish(hosts=1), quiet)
    assert not (lab.host(1).storage / "skep" / "state.db").exists()
    remove(lab)
    assert traces(lab) == []


def test_records_of_an_earlier_boot_kill_nobody(fresh_lab):
    lab = fresh_lab()
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        lab.host(1).folder.mkdir(parents=True)
        seen = records.observe(stranger.pid)
        records.write(lab.host(1).record, records.Process(seen.pid, 1, "old", 2))
        records.write(lab.record, records.LabRecord("old", 1, complete=True))
        assert condition(lab) is Condition.BROKEN
        assert remove(lab)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4])
def test_an_up_that_is_killed_half_way_can_be_cleaned(fresh_lab, moment):
    lab = fresh_lab()
    script = (
        "import sys; from pathlib import Path; from skep.lab.layout import Lab;"
        f"from skep.lab.up import up, Wish; up(Lab({lab.name!r}), Wish(command={COMMAND!r},"
        "image_folder=Path('/'), images=(), hosts=3), print)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    remove(lab)
    # A first process that was not told to go ends by itself; it may need an instant for that.
    until(lambda: traces(lab) == [], 60)


def test_a_lab_that_cannot_be_made_is_removed(fresh_lab, monkeypatch):
    lab = fresh_lab()

    def fail(*_):
        raise Broken("no more cables")

    monkeypatch.setattr(switch, "plug", fail)
    with pytest.raises(Broken, match="no more cables"):
        up(lab, wish(hosts=2), quiet)
    assert condition(lab) is Condition.ABSENT
    until(lambda: traces(lab) == [], 60)


def test_a_daemon_that_does_not_answer_is_named_with_its_last_words(fresh_lab):
    lab = fresh_lab()
    with pytest.raises(Unavailable, match=r"skepd on h1 does not answer: .*"):
        up(lab, wish(hosts=1, patience=0.3, command=("sh", "-c", "echo no disk; sleep 600")), quiet)
    until(lambda: "no disk" in lab.host(1).log.read_text(), 60)
    assert condition(lab) is Condition.UP
    assert status(lab).hosts[0].state == "daemon does not answer"


def test_a_daemon_that_cannot_live_is_given_up_soon(fresh_lab):
    lab = fresh_lab()
    with pytest.raises(Unavailable, match=r"does not answer: no disk \(see"):
        up(lab, wish(hosts=1, patience=3600, command=("sh", "-c", "echo no disk; exit 3")), quiet)
    assert records.deaths(lab.host(1).log) >= 5


def test_a_daemon_that_cannot_be_started_is_tried_again(fresh_lab):
    lab = fresh_lab()
    wanted = wish(hosts=1, patience=0.5, command=("/no/such",))
    with pytest.raises(Unavailable):
        up(lab, wanted, quiet)
    until(lambda: lab.host(1).log.read_text().count("cannot start") >= 2, 60)
    with pytest.raises(Unavailable, match="cannot start /no/such: No such file"):
        up(lab, wanted, quiet)


def test_images_are_built_once_and_loaded_where_missing(fresh_lab, monkeypatch, tmp_path):
    built = []

    class Images:
        @staticmethod
        def build(names, folder):
            built.append((tuple(names), folder))
            for name in names:
                (tmp_path / name).write_text(name)
            return {name: tmp_path / name for name in names}

    monkeypatch.setitem(sys.modules, "skep.lab.images", Images)
    monkeypatch.setattr("skep.lab.images", Images, raising=False)
    lab, steps = fresh_lab(), []
    wanted = wish(hosts=2, images=("busybox", "nginx"), image_folder=tmp_path)
    up(lab, wanted, steps.append)
    assert built == [(("busybox", "nginx"), tmp_path)]
    assert "image nginx: loaded on h1, h2" in steps
    up(lab, wanted, steps.append)
    assert len(built) == 1


def test_names_are_checked_against_what_is_there(duo, fresh_lab):
    assert find(duo, "h2").number == 2
    with pytest.raises(Missing, match="it has h1 to h2"):
        find(duo, "h3")
    with pytest.raises(Missing, match=r"no lab .*skep lab up --name"):
        find(fresh_lab(), "h1")
    with pytest.raises(Missing, match="no lab"):
        status(fresh_lab())
    with pytest.raises(Invalid):
        up(fresh_lab(), wish(hosts=0), quiet)
