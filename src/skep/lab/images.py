"""The lab's container images, built from Debian's packages: no registry is asked.

``busybox``: busybox-static with its applets. ``nginx``: Debian's nginx on top of it, which answers
with its host's name and the client's address, so that balancing can be seen.
The archives are what ``docker save`` writes (image specification 1.2).
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from skep.lab.savedimage import Entry, Layer, SavedImage, file, folder, link, write
from skep.model.errors import Broken, Missing

BUSYBOX = Path("/bin/busybox")
NGINX = Path("/usr/sbin/nginx")
REPOSITORY = "docker.io/library"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
"""
GROUP = b"root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n"

WGET = b"""\
#!/bin/sh
# The time limit of busybox's own wget crashes it when it is linked statically.
limit=900
left=$#
while [ "$left" -gt 0 ]; do
  case $1 in
    -T | --timeout) limit=$2; shift 2; left=$((left - 2)) ;;
    -T*) limit=${1#-T}; shift; left=$((left - 1)) ;;
    --timeout=*) limit=${1#*=}; shift; left=$((left - 1)) ;;
    *) set -- "$@" "$1"; shift; left=$((left - 1)) ;;
  esac
done
timeout "$limit" /bin/busybox WGET "$@"
code=$?
[ "$code" = 143 ] || exit "$code"
echo "wget: download timed out" >&2
exit 1
"""

FOLDERS = (
    *("dev", "etc", "home", "proc", "root", "run", "sys", "sbin", "usr/bin", "usr/sbin"),
    *("var/lib", "var/log", "var/run", "var/www"),
)

APPLET, RENAMED = b"wget", b"wgez"
NEIGHBOURS = b"wc\0%s\0which\0"
"""The name's place in busybox's sorted table of applets."""

NGINX_CONF = b"""\
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 1024; }
http {
  access_log /dev/stdout;
  server {
    listen 80 default_server;
    listen [::]:80 default_server;
    location = / {
      default_type text/html;
      return 200 "<h1>Welcome to nginx!</h1> $hostname\\n<p>client $remote_addr</p>\\n";
    }
    location / { return 404; }
  }
}
"""


def build(names: Sequence[str], directory: Path) -> dict[str, Path]:
    """Build the images of these names ("busybox", "nginx"); answers each one's archive.

    An archive is built once per content of what it is made from. Needs root for nothing but
    apt's sake. Raises `Missing` (no such image in the lab; a package that cannot be had), `Broken`.
    """
    unknown = [name for name in names if name not in RECIPES]
    if unknown:
        raise Missing(f"The lab has no image {unknown[0]}; it builds {', '.join(RECIPES)}")
    directory.mkdir(parents=True, exist_ok=True)
    return {name: RECIPES[name](directory) for name in names}


def build_busybox(directory: Path) -> Path:
    """``busybox:latest``. Raises `Missing` if busybox-static is not installed."""
    binary = _busybox()
    return _kept(directory, "busybox", _key(binary), lambda: (busybox_layer(binary),))


def build_nginx(directory: Path) -> Path:
    """``nginx:latest``: the installed nginx, or the one of Debian's package, which is downloaded
    into ``directory`` and not installed. Raises `Missing` if neither can be had."""
    if NGINX.exists():
        return _nginx_image(directory, NGINX, _libraries(NGINX, None))
    packages = _packages(directory / "packages")
    with tempfile.TemporaryDirectory(dir=directory) as unpacked:
        for package in packages:
            _run("dpkg", "-x", str(package), unpacked)
        nginx = Path(unpacked) / NGINX.relative_to("/")
        return _nginx_image(directory, nginx, _libraries(nginx, Path(unpacked)))


def _nginx_image(directory: Path, nginx: Path, libraries: dict[str, Path]) -> Path:
    binary = _busybox()
    key = _key(
        binary, nginx.read_bytes(), *(library.read_bytes() for library in libraries.values())
    )
    return _kept(
        directory, "nginx", key, lambda: (busybox_layer(binary), nginx_layer(nginx, libraries))
    )


RECIPES: dict[str, Callable[[Path], Path]] = {"busybox": build_busybox, "nginx": build_nginx}


def busybox_layer(binary: bytes) -> Layer:
    """busybox, a link for each applet, the users; ``wget`` is ours."""
    applets = _run(str(BUSYBOX), "--list").split()
    before, after = NEIGHBOURS % APPLET, NEIGHBOURS % RENAMED
    # Its shell prefers applets to files; under another name the applet leaves ours to be found.
    patched = binary.count(before) == 1
    name = RENAMED if patched else APPLET
    entries: dict[str, Entry] = {name: folder() for name in FOLDERS}
    entries |= {"tmp": folder(0o1777), "usr/bin/env": link("/bin/busybox")}
    entries |= {f"bin/{applet}": link("/bin/busybox") for applet in applets}
    entries |= {
        "bin/busybox": file(binary.replace(before, after) if patched else binary, 0o755),
        "bin/wget": file(WGET.replace(b"WGET", name), 0o755),
        "etc/passwd": file(PASSWD),
        "etc/group": file(GROUP),
    }
    return Layer(entries)


def nginx_layer(nginx: Path, libraries: dict[str, Path]) -> Layer:
    """nginx and its shared libraries (place in the image, file here), set up for a container."""
    entries: dict[str, Entry] = {
        place.lstrip("/"): file(source.read_bytes(), 0o755) for place, source in libraries.items()
    }
    entries |= {name: folder() for name in ("var/lib/nginx", "var/log/nginx", "usr/share/nginx")}
    entries |= {
        "usr/sbin/nginx": file(nginx.read_bytes(), 0o755),
        "etc/nginx/nginx.conf": file(NGINX_CONF),
        "var/log/nginx/access.log": link("/dev/stdout"),
        "var/log/nginx/error.log": link("/dev/stderr"),
    }
    return Layer(entries)


CONFIGS: dict[str, dict[str, object]] = {
    "busybox": {"Env": [f"PATH={PATH}"], "Cmd": ["sh"]},
    "nginx": {
        "Env": [f"PATH={PATH}"],
        "Cmd": ["nginx", "-g", "daemon off;"],
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGQUIT",
    },
}


def _kept(directory: Path, name: str, key: str, layers: Callable[[], tuple[Layer, ...]]) -> Path:
    """The archive for this key, built if it is not there; those of other keys are removed."""
    archive = directory / f"{name}-{key}.tar"
    if archive.exists():
        return archive
    image = SavedImage(
        tag=f"{REPOSITORY}/{name}:latest",
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
        config=CONFIGS[name],
        layers=layers(),
    )
    unfinished = directory / f".{archive.name}.{os.getpid()}"
    try:
        write(image, unfinished)
        unfinished.replace(archive)
    finally:
        unfinished.unlink(missing_ok=True)
    for other in directory.glob(f"{name}-????????????.tar"):
        if other != archive:
            other.unlink(missing_ok=True)
    return archive


def _key(*inputs: bytes) -> str:
    """Twelve digits that differ when the inputs or these recipes do."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for content in inputs:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]


def _busybox() -> bytes:
    if not BUSYBOX.exists():
        raise Missing("busybox is not installed; apt-get install busybox-static")
    binary = BUSYBOX.read_bytes()
    # PT_INTERP of a dynamic executable names its loader.
    if b"/ld-linux" in binary[:4096] or b"/ld-musl" in binary[:4096]:
        raise Missing(f"{BUSYBOX} is not the static one; apt-get install busybox-static")
    return binary


def _packages(cache: Path) -> list[Path]:
    """nginx's package, and those of its libraries that this machine lacks, downloaded once."""
    cache.mkdir(parents=True, exist_ok=True)
    if not any(cache.glob("nginx_*.deb")):
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            _download(Path(fresh))
            # nginx's own last: it is what says that the cache is complete.
            for package in sorted(Path(fresh).glob("*.deb"), key=lambda p: p.name[:6] == "nginx_"):
                shutil.move(package, cache / package.name)
    return sorted(cache.glob("*.deb"))


def _download(into: Path) -> None:
    _apt_download("nginx", into)
    package = next(into.glob("nginx_*.deb"))
    wanted = [
        word.split()[0] for word in _run("dpkg-deb", "-f", str(package), "Depends").split(",")
    ]
    root = into / "unpacked"
    _run("dpkg", "-x", str(package), str(root))
    if not (root / NGINX.relative_to("/")).exists():
        # Releases before 2023 keep the program in a package of its own.
        _apt_download("nginx-core", into)
        _run("dpkg", "-x", str(next(into.glob("nginx-core_*.deb"))), str(root))
    if _lacking(root / NGINX.relative_to("/")):
        for name in wanted:
            if name.startswith(("lib", "zlib")):
                _apt_download(name, into)


def _apt_download(package: str, into: Path) -> None:
    done = subprocess.run(
        ["apt-get", "-q", "download", package],
        cwd=into,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Missing(
            f"the package {package} cannot be downloaded: {last} "
            "(apt-get update; apt-get download nginx; or install nginx)"
        )


def _libraries(binary: Path, unpacked: Path | None) -> dict[str, Path]:
    """The shared libraries of a program and its loader: place in the image, file here."""
    found = {}
    for line in _ldd(binary, unpacked).splitlines():
        words = line.split()
        path = next((word for word in words if word.startswith("/")), "")
        if "not found" in line:
            raise Missing(f"a library of nginx is not installed: {words[0]}")
        if path:
            inside = unpacked is not None and path.startswith(str(unpacked))
            place = path[len(str(unpacked)) :] if inside else path
            found[place] = Path(path)
    return found


def _lacking(binary: Path) -> bool:
    return "not found" in _ldd(binary, None)


def _ldd(binary: Path, unpacked: Path | None) -> str:
    environment = dict(os.environ)
    if unpacked is not None:
        places = {str(library.parent) for library in unpacked.glob("**/lib*.so.*")}
        environment["LD_LIBRARY_PATH"] = ":".join(sorted(places))
    return _run("ldd", str(binary), environment=environment)


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise Broken(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout
