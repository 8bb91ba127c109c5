import re

import pytest

from skep.model.cluster import Tokens
from skep.model.errors import Invalid
from skep.wire.authority import digest
from skep.wire.tokens import format_token, new_secret, parse_token, role_of

TOKENS = Tokens(worker="w" * 25, manager="m" * 25)


def test_a_token_has_docker_s_form_and_can_be_taken_apart(cluster):
    secret = new_secret(b"\x7f" * 20)
    text = format_token(cluster.ca, secret)
    assert re.fullmatch(r"SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}", text)
    token = parse_token(f" {text}\n")
    assert (token.digest, token.secret) == (digest(cluster.ca), secret)


def test_a_token_knows_its_cluster(cluster, foreign):
    token = parse_token(format_token(cluster.ca, "0" * 25))
    assert token.is_for(cluster.ca)
    assert not token.is_for(foreign.ca)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SWMTKN-1-bad",
        f"SWMTKN-1-{'0' * 50}-{'0' * 24}",
        f"SWMTKN-1-{'0' * 49}-{'0' * 25}",
        f"SWMTKN-2-{'0' * 50}-{'0' * 25}",
        f"SWMTKN-1-{'A' * 50}-{'0' * 25}",
        f"SWMTKN-1-{'0' * 50}-{'0' * 25}-1",
        f"x SWMTKN-1-{'0' * 50}-{'0' * 25}",
    ],
)
def test_anything_else_is_no_token(text):
    with pytest.raises(Invalid, match=r"^invalid join token$"):
        parse_token(text)


def test_secrets_follow_the_entropy_and_fill_their_width():
    assert new_secret(bytes(17)) == "0" * 25
    assert new_secret(bytes(16) + b"\x24") == "0" * 23 + "10"
    assert len(new_secret(b"\xff" * 32)) == 25
    with pytest.raises(AssertionError):
        new_secret(bytes(16))


def test_the_secret_says_the_role():
    assert role_of("w" * 25, TOKENS) == "worker"
    assert role_of("m" * 25, TOKENS) == "manager"
    assert role_of("x" * 25, TOKENS) is None
    assert role_of("", TOKENS) is None
    assert role_of("ü", TOKENS) is None


def test_a_secret_is_not_shown_by_accident(cluster):
    assert "0" * 25 not in repr(parse_token(format_token(cluster.ca, "0" * 25)))
