from pathlib import Path

import pytest

from skep.engine.placing import check_sources, with_profiles
from skep.model.errors import Broken, Invalid


def mounting(source, **options):
    return {"HostConfig": {"Mounts": [{"Type": "bind", "Source": str(source), **options}]}}


def test_a_folder_that_is_not_there_is_refused_unless_it_may_be_made(tmp_path):
    check_sources(mounting(tmp_path))
    with pytest.raises(Invalid, match=r"bind source path does not exist: .*/absent"):
        check_sources(mounting(tmp_path / "absent"))
    check_sources(mounting(tmp_path / "absent", BindOptions={"CreateMountpoint": True}))


def test_a_profile_is_in_a_file_for_as_long_as_it_is_needed():
    body = {"HostConfig": {"SecurityOpt": ["label=disable", 'seccomp={"a": 1}']}}
    with with_profiles(body) as fit:
        label, profile = fit["HostConfig"]["SecurityOpt"]
        path = Path(profile.removeprefix("seccomp="))
        assert path.read_text() == '{"a": 1}'
    assert label == "label=disable"
    assert not path.exists()


def test_a_request_without_a_profile_is_left_as_it_is():
    body = {"HostConfig": {"SecurityOpt": ["seccomp=unconfined"]}}
    with with_profiles(body) as fit:
        assert fit is body


def test_a_profile_that_there_is_no_room_for_is_a_sentence(monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "/tmp/x")

    monkeypatch.setattr(Path, "write_text", full)
    body = {"HostConfig": {"SecurityOpt": ["seccomp={}"]}}
    with pytest.raises(Broken, match="/tmp/x: No space left"), with_profiles(body):
        pass
