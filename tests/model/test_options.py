import pytest

from skep.cluster.options import check_node_options, check_options
from skep.model.errors import Invalid
from skep.model.options import (
    DEFAULTS,
    NOWHERE,
    Condition,
    ServiceOptions,
    options_in,
    read_options,
    read_weight,
)


def test_only_our_labels_are_options():
    labels = {"skep.balance": "random", "com.example": "x", "skeptical": "y"}
    assert options_in(labels) == {"skep.balance": "random"}
    assert read_options({"com.example": "x"}) == (DEFAULTS, ())


@pytest.mark.parametrize(
    ("key", "value", "field", "meaning"),
    [
        ("skep.balance", "source", "balance", "source"),
        ("skep.balance", "round-robin", "balance", "rr"),
        ("skep.balance", "least-connections", "balance", "lc"),
        ("skep.affinity", "10m", "affinity", 600),
        ("skep.affinity", "1s", "affinity", 1),
        ("skep.local-only", "true", "local_only", True),
        ("skep.local-only", "false", "local_only", False),
        ("skep.allow", "10.0.0.0/8, 192.168.1.1", "allow", ("10.0.0.0/8", "192.168.1.1")),
        ("skep.allow", "10.0.0.0/8,10.1.0.0/16,11.0.0.0/8", "allow", ("10.0.0.0/7",)),
        ("skep.allow", "0.0.0.0/0", "allow", ("0.0.0.0/0",)),
        ("skep.publish-address", "192.0.2.1", "publish_address", "192.0.2.1"),
        ("skep.drain", "30s", "drain", 30.0),
        ("skep.drain", "1.5m", "drain", 90.0),
        ("skep.drain", "250ms", "drain", 0.25),
        ("skep.publish-on", "node.labels.zone == a,node.hostname!=h1", "publish_on",
         (Condition("node.labels.zone", "==", "a"), Condition("node.hostname", "!=", "h1"))),
    ],
)  # fmt: skip
def test_options_are_read(key, value, field, meaning):
    options, complaints = read_options({key: value})
    assert complaints == ()
    assert options == ServiceOptions(**{field: meaning})
    check_options({key: value})


@pytest.mark.parametrize(
    ("key", "value", "sentence", "closed"),
    [
        ("skep.balance", "best", '"best" is none of rr, random, source, lc, sh, mh', {}),
        ("skep.affinity", "0s", '"0s" is not a whole number of seconds from 1s to 720h', {}),
        ("skep.affinity", "1.5s", '"1.5s" is not a whole number of seconds from 1s to 720h', {}),
        ("skep.affinity", "721h", '"721h" is not a whole number of seconds from 1s to 720h', {}),
        ("skep.affinity", "10", '"10" is no duration such as 30s or 2m', {}),
        ("skep.local-only", "yes", '"yes" is neither true nor false', {"local_only": True}),
        ("skep.allow", "10.0.0.0/8,home", '"home" is no address or prefix', {"allow": ()}),
        ("skep.allow", "10.0.0.1/8", '"10.0.0.1/8" is no address or prefix', {"allow": ()}),
        ("skep.publish-address", "h1", '"h1" is no address', {"publish_address": "0.0.0.0"}),
        ("skep.publish-on", "zone==a", '"zone==a" is no condition on nodes such as '
         "node.labels.zone==a or node.hostname!=h1", {"publish_on": (NOWHERE,)}),
        ("skep.drain", "soon", '"soon" is no duration such as 30s or 2m', {}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_closes(key, value, sentence, closed):
    with pytest.raises(Invalid) as refusal:
        check_options({key: value})
    assert str(refusal.value) == f"label {key}: {sentence}"
    assert read_options({key: value})[0] == ServiceOptions(**closed)


def test_an_option_that_there_is_none_of_is_refused():
    with pytest.raises(
        Invalid, match=r"skep\.balnce is no option of Skep: there are skep\.affinity, "
    ):
        check_options({"skep.balnce": "random"})


@pytest.mark.parametrize(
    ("labels", "weight"),
    [({}, 1), ({"skep.weight": "3"}, 3), ({"skep.weight": "0"}, 0), ({"skep.weight": "100"}, 100)],
)
def test_weights_are_read(labels, weight):
    assert read_weight({"zone": "a", **labels}) == (weight, ())
    check_node_options(labels)


@pytest.mark.parametrize("value", ["101", "-1", "1.5", "", "heavy", "٣"])
def test_a_weight_that_is_none_is_refused_and_counts_as_one(value):
    with pytest.raises(Invalid, match="is no whole number from 0 to 100"):
        check_node_options({"skep.weight": value})
    assert read_weight({"skep.weight": value})[0] == 1


def test_nodes_have_no_other_option():
    with pytest.raises(Invalid, match=r"skep\.wait is no option of Skep for nodes"):
        check_node_options({"skep.wait": "3"})


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition("node.labels.zone", "==", "a"), True),
        (Condition("node.labels.zone", "!=", "a"), False),
        (Condition("node.labels.disk", "==", "ssd"), False),
        (Condition("node.labels.disk", "!=", "ssd"), True),
        (Condition("node.hostname", "==", "h1"), True),
        (Condition("node.id", "==", "h1"), False),
        (NOWHERE, False),
    ],
)
def test_conditions(condition, holds):
    assert condition.holds("id1", "h1", {"zone": "a"}) is holds
