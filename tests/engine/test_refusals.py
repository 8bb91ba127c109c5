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
        (500, "container a1 does not exist in database: no such container",
         Missing, "No such container: a1"),
        (404, 'no exec session with ID "e1" found: no such exec session',
         Missing, "No such exec instance: e1"),
        (500, f"cannot remove container {ID} as it is running - running or paused containers",
         Clash, 'cannot remove container "web": container is running: '
         "stop the container before removing or force remove"),
        (500, "can only create exec sessions on running containers: container state improper",
         Clash, "container web is not running"),
        (500, f"can only kill running containers. {ID} is in state exited: improper",
         Clash, f"cannot kill container: web: container {ID} is not running"),
        (500, "failed to load image: payload does not match any of the supported image formats:",
         Invalid, "this is no archive of images: docker save and docker buildx make them"),
        (500, "archive/tar: invalid tar header", Invalid,
         "this is no tar archive, or not all of one"),
        (500, "normalizing image: normalizing name for compat API: invalid reference format",
         Invalid, "invalid reference format"),
        (500, "volume v uses volume plugin x but it could not be retrieved: no volume plugin",
         Missing, 'error looking up volume plugin x: plugin "x" not found'),
        (500, "stopping container web: refusing to clean up: container state improper",
         Clash, "container web is in no state for that"),
        (500, f"preparing container {ID * 5}0000 for attach: runc: runc create failed: no /x",
         Invalid, "runc: runc create failed: no /x"),
        (500, "running container create option: names must match x: invalid argument", Invalid,
         "names must match x"),
        (500, "fill out specgen: invalid signal: x", Invalid, "invalid signal: x"),
        (500, 'x: write "254:0 1"', Broken, 'x: write "254:0 1"'),
        (500, 'cannot: failed to write "254:0 1": write /c/blkio.weight_device: not possible',
         Broken, 'this kernel does not take "254:0 1" as blkio.weight_device of a container: '
         "not possible; leave its flag away, or give it another value"),
        (500, '"exited" is not running, can\'t pause: container state improper',
         Clash, "Container web is not running"),
        (500, f"cannot create exec session as container {ID} is paused",
         Clash, "Container web is paused, unpause the container before exec"),
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
