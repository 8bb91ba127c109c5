"""``skep topology`` and ``skep page`` before an API of canned answers."""

import json
import os

import pytest
from fake_api import FakeApi, refuse

THING = {"id": "host:n1", "kind": "host", "name": "h1", "parts": [{"name": "eth0"}]}
GRAPH = {"things": {"host:n1": THING}, "boxes": 0}


@pytest.fixture
def api(tmp_path):
    made = FakeApi(tmp_path / "api.sock")
    made.answers["GET /skep/topology"] = GRAPH
    yield made
    made.close()


def programs(tmp_path, **scripts):
    """A PATH with these programs alone."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return str(folder)


def test_dot_is_what_is_printed(api):
    done = api.skep("topology")
    assert (done.code, done.complaints) == (0, "")
    assert done.output.startswith("graph skep {") and '"host:n1"' in done.output


def test_json_is_the_managers_own(api):
    done = api.skep("topology", "--json", "--all", "--find", "web")
    assert json.loads(done.output) == GRAPH
    assert done.asked[0].query == {"all": "1", "find": "web"}


def test_svg_goes_to_a_file_or_to_standard_output(api, tmp_path):
    assert api.skep("topology", "--svg", str(tmp_path / "a.svg")).output == ""
    assert (tmp_path / "a.svg").read_text() == api.skep("topology", "--svg", "-").output


def test_png_is_made_by_what_is_there(api, tmp_path):
    path = programs(tmp_path, rsvg_convert='grep -q "<svg" "$3" && echo pixels >"$2"')
    done = api.skep("topology", "--png", "a.png", PATH=f"{path}:{os.environ['PATH']}")
    assert (done.code, done.complaints) == (0, "")
    assert (tmp_path / "a.png").read_text() == "pixels\n"


def test_png_without_a_program_says_what_to_install(api, tmp_path):
    done = api.skep("topology", "--png", "a.png", PATH=programs(tmp_path))
    assert done.code == 1
    assert "install librsvg2-bin" in done.complaints and "--svg" in done.complaints


def test_png_by_a_program_that_fails(api, tmp_path):
    path = programs(tmp_path, rsvg_convert='echo "no fonts" >&2; exit 3')
    done = api.skep("topology", "--png", "a.png", PATH=f"{path}:{os.environ['PATH']}")
    assert done.code == 1
    assert "made no picture: no fonts" in done.complaints


def test_a_worker_refuses(api):
    api.answers["GET /skep/topology"] = refuse(503, "This host is no manager")
    done = api.skep("topology")
    assert (done.code, "no manager" in done.complaints) == (1, True)


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ({"url": "http://127.0.0.1:2378/", "token": "", "fingerprint": "", "why": ""},
         0, "http://127.0.0.1:2378/\n"),
        ({"url": "https://h:1/", "token": "a/b", "fingerprint": "ff", "why": ""},
         0, "https://h:1/?token=a/b\ncertificate (SHA-256): ff\n"),
        ({"url": "", "token": "", "fingerprint": "", "why": "the port is in use"}, 1, ""),
    ],
)  # fmt: skip
def test_the_pages_address(api, answer, code, said):
    api.answers["GET /skep/page-address"] = answer
    done = api.skep("page")
    assert (done.code, done.output) == (code, said)
    assert answer["why"] in done.complaints
