import json

import pytest

from skep.engine.refusals import error_body, refusal
from skep.model.errors import Broken, Clash, Invalid, Missing, Unavailable

ID = "2963f4e99f0d"


@pytest.mark.parametrize(
    ("status", "said", "kind", "sentence"),
    [
        (404, "no such image: docker.io/library/x:3: image not known",
         Missing, "No such image: x:3"),
        (404, "failed to find image x: docker.io/library/x: No such image",
         Missing, "No such image: x:latest"),
        (404, "reg:5000/x:1: image not known", Missing, "No such image: reg:5000/x:1"),
        (404, 'no container with name or ID "a1" found: no such container',
         Missing, "No such container: a1"),
        (404, "no such container", Missing, "No such container: web"),
        (404, 'no exec session with ID "e1" found: no such exec session',
         Missing, "No such exec instance: e1"),
        (500, f"cannot remove container {ID} as it is running - running or paused containers",
         Clash, 'cannot remove container "web": container is running: '
         "stop the container before removing or force remove"),
        (500, "can only create exec sessions on running containers: container state improper",
         Clash, "container web is not running"),
        (500, f"can only kill running containers. {ID} is in state exited: improper",
         Clash, f"cannot kill container: web: container {ID} is not running"),
        (400, "bad parameter", Invalid, "bad parameter"),
        (503, "later", Unavailable, "later"),
        (500, "runc: it broke", Broken, "runc: it broke"),
        (418, "teapot", Broken, "teapot"),
    ],
)  # fmt: skip
def test_podmans_sentences_become_dockers(status, said, kind, sentence):
    payload = json.dumps({"cause": "x", "message": said, "response": status}).encode()
    refused = refusal(status, payload, "web")
    assert type(refused) is kind
    assert str(refused) == sentence


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (b"404 page not found\n", "404 page not found"),
        (b"", "The container engine answered with status 404."),
        (b"{}", "The container engine answered with status 404."),
        (b"[1]", "[1]"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_bodies_of_other_shapes(payload, sentence):
    assert str(refusal(404, payload)) == sentence


def test_what_clients_are_sent():
    assert json.loads(error_body(Missing('No "x"'))) == {"message": 'No "x"'}
