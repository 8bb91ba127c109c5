import subprocess
import sys

import pytest
from lab_scene import STAND_IN, until

from skep.lab.client import Api
from skep.model.errors import Broken, Unavailable


@pytest.fixture
def api(tmp_path):
    path = tmp_path / "s"
    process = subprocess.Popen([sys.executable, STAND_IN, str(path)])
    try:
        until(lambda: Api(path).answers(), 60)
        yield Api(path)
    finally:
        process.kill()
        process.wait()


def test_nobody_answers_at_a_path_without_socket(tmp_path):
    assert not Api(tmp_path / "none").answers()
    with pytest.raises(Unavailable, match="none does not answer"):
        Api(tmp_path / "none").tags()


def test_a_loaded_image_is_listed_without_its_registry(api, tmp_path):
    (tmp_path / "image.tar").write_text("busybox")
    assert api.tags() == set()
    api.load(tmp_path / "image.tar")
    assert api.tags() == {"busybox:latest"}


def test_an_error_within_the_stream_is_an_error(api, tmp_path):
    (tmp_path / "image.tar").write_text("bad")
    with pytest.raises(Broken, match=r"^torn$"):
        api.load(tmp_path / "image.tar")


def test_an_error_status_speaks_with_its_message(api):
    with pytest.raises(Broken, match="GET /nothing: page not found"):
        api._request("GET", "/nothing")
