"""``skep rotate-keys``: what it asks for, what it says, how it is refused."""

import pytest
from fake_api import FakeApi, refuse


@pytest.fixture
def api(tmp_path):
    made = FakeApi(tmp_path / "api.sock")
    yield made
    made.close()


def test_it_asks_for_new_keys_and_says_which(api):
    api.answers["POST /skep/rotate-keys"] = {"generation": 7}
    done = api.skep("rotate-keys")
    assert [each.line for each in done.asked] == ["POST /skep/rotate-keys"]
    assert (done.code, done.complaints) == (0, "")
    assert done.output == (
        "The tunnels' keys are of generation 7 now; hosts change to them at once.\n"
    )


def test_a_refusal_is_told(api):
    why = "the keys were changed a moment ago: not every host has taken them up"
    api.answers["POST /skep/rotate-keys"] = refuse(503, why)
    done = api.skep("rotate-keys")
    assert done.code == 1
    assert why in done.complaints
    assert done.output == ""


def test_it_takes_no_arguments(api):
    code, _, complaints = api.skep_process("rotate-keys", "now")
    assert code == 2
    assert b"unrecognized arguments: now" in complaints
    assert api.asked == []
