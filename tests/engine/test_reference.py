import pytest

from skep.engine.reference import canonical, familiar, with_tag


@pytest.mark.parametrize(
    ("given", "tagged"),
    [
        ("nginx", "nginx:latest"),
        ("nginx:1", "nginx:1"),
        ("registry:5000/nginx", "registry:5000/nginx:latest"),
        ("registry:5000/nginx:2", "registry:5000/nginx:2"),
        ("nginx@sha256:00", "nginx@sha256:00"),
        ("sha256:00", "sha256:00"),
    ],
)
def test_a_tag_is_added_where_none_is(given, tagged):
    assert with_tag(given) == tagged


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("docker.io/library/nginx:latest", "nginx:latest"),
        ("docker.io/grafana/loki:3", "grafana/loki:3"),
        ("localhost/own:1", "own:1"),
        ("quay.io/library/x:1", "quay.io/library/x:1"),
        ("nginx", "nginx"),
    ],
)
def test_users_see_short_names(kept, shown):
    assert familiar(kept) == shown


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("grafana/loki:3", "docker.io/grafana/loki:3"),
        ("localhost/own", "localhost/own:latest"),
        ("quay.io/x:1", "quay.io/x:1"),
        ("registry:5000/x", "registry:5000/x:latest"),
    ],
)
def test_full_names(given, full):
    assert canonical(given) == full
