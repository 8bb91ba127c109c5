import hashlib
import json
import tarfile

import pytest

from skep.lab import images
from skep.lab.savedimage import Layer, SavedImage, file, folder, link, pack, write
from skep.model.errors import Missing


def members(layer, tmp_path):
    packed = tmp_path / "layer.tar"
    packed.write_bytes(layer)
    with tarfile.open(packed) as archive:
        return {member.name: member for member in archive}


def test_a_layer_has_the_folders_on_the_way_and_belongs_to_root(tmp_path):
    layer = Layer({"a/b/c": file(b"x", 0o755), "a/l": link("/a/b"), "tmp": folder(0o1777)})
    found = members(pack(layer), tmp_path)
    assert list(found) == ["a", "a/b", "a/b/c", "a/l", "tmp"]
    assert found["a/b"].isdir()
    assert (found["a/b/c"].mode, found["a/b/c"].size) == (0o755, 1)
    assert (found["a/l"].issym(), found["a/l"].linkname) == (True, "/a/b")
    assert found["tmp"].mode == 0o1777
    assert {(member.uid, member.gid) for member in found.values()} == {(0, 0)}


def test_an_archive_names_its_parts_by_their_digests(tmp_path):
    layer = Layer({"a": file(b"x")})
    image = SavedImage(
        tag="docker.io/library/x:latest",
        architecture="amd64",
        config={"Cmd": ["a"]},
        layers=(layer,),
    )
    write(image, tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar") as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))
        config = archive.extractfile(manifest["Config"]).read()
        packed = archive.extractfile(manifest["Layers"][0]).read()
    assert manifest["RepoTags"] == ["docker.io/library/x:latest"]
    assert manifest["Config"] == f"{hashlib.sha256(config).hexdigest()}.json"
    shown = json.loads(config)
    assert shown["config"] == {"Cmd": ["a"]}
    assert shown["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(packed).hexdigest()}"]


def test_busybox_is_built_once_for_the_same_inputs(tmp_path, monkeypatch):
    first = images.build(["busybox"], tmp_path / "made")["busybox"]
    content, born = first.read_bytes(), first.stat().st_mtime_ns
    assert images.build(["busybox"], tmp_path / "made") == {"busybox": first}
    assert first.stat().st_mtime_ns == born
    first.unlink()
    assert images.build(["busybox"], tmp_path / "made")["busybox"].read_bytes() == content

    other = tmp_path / "busybox"
    other.write_bytes(images.BUSYBOX.read_bytes() + b"\0")
    other.chmod(0o755)
    monkeypatch.setattr(images, "BUSYBOX", other)
    second = images.build(["busybox"], tmp_path / "made")["busybox"]
    assert second != first
    assert list((tmp_path / "made").iterdir()) == [second], "nothing else is left"


def test_a_build_that_breaks_leaves_nothing(tmp_path, monkeypatch):
    def broken(image, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(images, "write", broken)
    with pytest.raises(OSError, match="disk full"):
        images.build(["busybox"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_shell_finds_our_wget(tmp_path):
    binary = images.BUSYBOX.read_bytes()
    layer = images.busybox_layer(binary)
    assert b"/bin/busybox wgez" in layer.entries["bin/wget"].content
    assert layer.entries["bin/sh"].target == "/bin/busybox"
    # A busybox whose table looks otherwise is left as it is.
    other = binary.replace(b"\0which\0", b"\0whicX\0")
    layer = images.busybox_layer(other)
    assert layer.entries["bin/busybox"].content == other
    assert b"/bin/busybox wget" in layer.entries["bin/wget"].content


def test_nginx_libraries_and_loader_come_along(tmp_path):
    nginx = images.build(["nginx"], tmp_path)["nginx"]
    with tarfile.open(nginx) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))
        base, top = (archive.extractfile(name).read() for name in manifest["Layers"])
        config = json.load(archive.extractfile(manifest["Config"]))["config"]
    assert "bin/nslookup" in members(base, tmp_path)
    found = members(top, tmp_path)
    assert "usr/sbin/nginx" in found
    assert any("/ld-linux" in f"/{name}" for name in found)
    assert any("libc.so.6" in name for name in found)
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert list(tmp_path.glob("tmp*")) == [], "what was unpacked is gone"


def test_what_cannot_be_built_is_said(tmp_path, monkeypatch):
    with pytest.raises(Missing, match="no image redis; it builds busybox, nginx"):
        images.build(["busybox", "redis"], tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(images, "BUSYBOX", tmp_path / "absent")
    with pytest.raises(Missing, match="apt-get install busybox-static"):
        images.build(["busybox"], tmp_path)
    dynamic = tmp_path / "dynamic"
    dynamic.write_bytes(b"\x7fELF /lib64/ld-linux-x86-64.so.2")
    monkeypatch.setattr(images, "BUSYBOX", dynamic)
    with pytest.raises(Missing, match="not the static one"):
        images.build(["busybox"], tmp_path)


def test_a_package_that_cannot_be_had_is_said(tmp_path, monkeypatch):
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}:/usr/bin:/bin")
    monkeypatch.setattr(images, "NGINX", tmp_path / "usr/sbin/nginx")
    with pytest.raises(Missing, match=r"package nginx cannot be downloaded: E: Unable to locate"):
        images.build(["nginx"], tmp_path)
    assert list((tmp_path / "packages").iterdir()) == []
