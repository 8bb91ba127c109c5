"""Boots Debian's cloud kernel, which has every module, in QEMU and runs a command in it.

The guest sees this machine's files as they are, read-only, with whatever it writes kept in its
memory; it has no network interface. It is emulated (TCG), so everything takes ten times as long.

    python tests/guest/boot.py [--memory MIB] [--seconds N] COMMAND...

What the command prints is printed, and its exit code is the exit code.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skep" / "guest"
PACKAGE = "linux-image-cloud-amd64"
VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
MODULES = ("virtio_pci", "virtiofs", "overlay", "virtio_rng")
"""What the guest needs to reach this machine's files; all others it loads by itself."""
OVER = re.compile(r"^GUEST ENDED WITH (\d+)\s*$")

INIT = """\
#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
for module in @MODULES@; do $B insmod /modules/$module; done
fail() { echo "$1"; echo "GUEST ENDED WITH 125"; $B poweroff -f; }
$B mount -t virtiofs -o ro files /files || fail "this machine's files cannot be mounted"
$B mount -t tmpfs -o size=80% tmpfs /own; $B mkdir /own/upper /own/work
$B mount -t overlay overlay -o lowerdir=/files,upperdir=/own/upper,workdir=/own/work /root ||
    fail "nothing can be laid over this machine's files"
for each in proc sys dev; do $B mount --move /$each /root/$each; done
$B ln -s /proc/self/fd /root/dev/fd; $B ln -s /proc/self/fd/0 /root/dev/stdin
$B mkdir -p /root/dev/pts /root/dev/shm /root/lib/modules /root/var/lib/skep-lab
$B mount -t devpts devpts /root/dev/pts; $B mount -t tmpfs tmpfs /root/dev/shm
$B mount -t tmpfs tmpfs /root/run; $B mount -t tmpfs tmpfs /root/var/lib/skep-lab
$B mount --bind /files@KERNEL@/lib/modules /root/lib/modules
$B mount -t cgroup2 cgroup2 /root/sys/fs/cgroup; $B mount -t bpf bpf /root/sys/fs/bpf
exec $B switch_root /root /bin/bash @SCRIPT@
"""

SCRIPT = """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
export SKEP_GUEST=1
hostname guest
ip link set lo up
cd {folder}
{command} 2>&1
echo "GUEST ENDED WITH $?"
sync
echo o >/proc/sysrq-trigger
sleep 10
"""


def kernel() -> Path:
    """The folder with Debian's newest cloud kernel, fetched if need be."""
    depends = subprocess.run(
        ["apt-cache", "depends", PACKAGE], check=False, capture_output=True, text=True
    ).stdout
    found = re.search(r"Depends: (linux-image-\S+-cloud-amd64)", depends)
    if found is None:
        sys.exit(f"this machine's distribution has no package {PACKAGE}: the guest needs Debian")
    folder = CACHE / found[1]
    if not folder.is_dir():
        print(f"· fetching {found[1]}", file=sys.stderr)
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            Path(work).chmod(0o755)
            subprocess.run(["apt-get", "download", "-qq", found[1]], check=True, cwd=work)
            (package,) = Path(work).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, Path(work) / "root"], check=True)
            modules = next((Path(work) / "root/lib/modules").iterdir())
            subprocess.run(
                ["depmod", "-b", Path(work) / "root", modules.name], check=True, timeout=120
            )
            (Path(work) / "root").rename(folder)
    return folder


def ordered(modules: Path, wanted: tuple[str, ...]) -> list[Path]:
    """The files of modules with those that they need before them. Source: modules.dep."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, others = line.partition(":")
        needs[Path(file).name.removesuffix(".ko").replace("-", "_")] = [file, *others.split()]
    found: dict[str, None] = {}
    for name in wanted:
        # What is not among them is part of the kernel. The last one is needed by all before it.
        found.update(dict.fromkeys(reversed(needs.get(name, []))))
    return [modules / each for each in found]


def initrd(folder: Path, script: Path, place: Path) -> Path:
    """The guest's first files: busybox, a few modules, and what to do."""
    modules = next((folder / "lib/modules").iterdir())
    tree = place / "initrd"
    for each in ("bin", "modules", "proc", "sys", "dev", "files", "own", "root"):
        (tree / each).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox, "bin/test installs busybox-static"
    shutil.copy(busybox, tree / "bin")
    files = ordered(modules, MODULES)
    for each in files:
        shutil.copy(each, tree / "modules")
    text = INIT.replace("@MODULES@", " ".join(each.name for each in files))
    text = text.replace("@KERNEL@", str(folder)).replace("@SCRIPT@", str(script))
    (tree / "init").write_text(text)
    (tree / "init").chmod(0o755)
    packed = subprocess.run(
        "find . | busybox cpio -o -H newc", shell=True, check=True, cwd=tree, capture_output=True
    )
    image = place / "initrd.gz"
    image.write_bytes(gzip.compress(packed.stdout, 1))
    return image


@contextlib.contextmanager
def shared(place: Path) -> Iterator[Path]:
    """This machine's files, offered at a socket."""
    program = next((each for each in VIRTIOFSD if Path(each).exists()), None)
    if program is None:
        sys.exit("virtiofsd is not installed: it is in qemu-system-common, or a package of its own")
    socket, log = place / "files.sock", place / "files.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, f"--socket-path={socket}", "-o", "source=/", "-o", "cache=always",
             "-o", "sandbox=chroot"],
            stdout=output, stderr=output,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 10
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"virtiofsd does not serve: {log.read_text(errors='replace').strip()}")
            time.sleep(0.05)
        yield socket
    finally:
        process.kill()
        process.wait()


def machine(folder: Path, image: Path, files: Path, memory: int) -> list[str]:
    """QEMU's command line."""
    (linux,) = (folder / "boot").glob("vmlinuz-*")
    return [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max",
        "-smp", str(os.cpu_count() or 1), "-m", str(memory), "-nodefaults", "-no-reboot",
        "-nographic", "-serial", "stdio", "-nic", "none", "-device", "virtio-rng-pci",
        "-kernel", str(linux), "-initrd", str(image),
        "-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check "
                   "random.trust_cpu=on",
        "-object", f"memory-backend-memfd,id=memory,size={memory}M,share=on",
        "-numa", "node,memdev=memory", "-chardev", f"socket,id=files,path={files}",
        "-device", "vhost-user-fs-pci,chardev=files,tag=files",
    ]  # fmt: skip


def run(command: list[str], memory: int, seconds: int) -> int:
    """Boot, run, print; the command's exit code, 124 if it took too long, 125 if it never ran."""
    folder = kernel()
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="run-") as work:
        place = Path(work)
        script = place / "script"
        script.write_text(SCRIPT.format(
            folder=shlex.quote(str(Path.cwd())), command=shlex.join(command)
        ))  # fmt: skip
        image = initrd(folder, script, place)
        print("· booting a guest with Debian's cloud kernel", file=sys.stderr)
        with shared(place) as files:
            process = subprocess.Popen(
                ["timeout", "--kill-after=5", str(seconds), *machine(folder, image, files, memory)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace",
            )  # fmt: skip
            try:
                return _followed(process)
            finally:
                process.terminate()  # "timeout" passes it on
                process.wait()


def _followed(process: subprocess.Popen[str]) -> int:
    """Print what the guest says, until it is over."""
    assert process.stdout is not None, "it was started with a pipe"
    code = 125
    for line in process.stdout:
        ended = OVER.match(line.rstrip())
        if ended:
            code = int(ended[1])
        else:
            print(line.rstrip("\r\n"), flush=True)
    return 124 if process.wait() == 124 else code


def main() -> int:
    """Do as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--memory", type=int, default=3072, metavar="MIB")
    parser.add_argument("--seconds", type=int, default=1500, metavar="N")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command:
        parser.error("there is no command")
    # An exception, so that the machine is ended with it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    return run(options.command, options.memory, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
