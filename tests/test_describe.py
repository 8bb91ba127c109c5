"""What a host says of itself."""

import pytest

from skep.describe import describe_host, generic_resource
from skep.model.errors import Invalid
from skep.model.spec import DiscreteResource, GenericResource, NamedResource


def test_generic_resources_are_counted_or_named():
    assert generic_resource("gpu=2") == GenericResource(
        discrete_resource_spec=DiscreteResource(kind="gpu", value=2)
    )
    assert generic_resource(" gpu = UUID-1 ") == GenericResource(
        named_resource_spec=NamedResource(kind="gpu", value="UUID-1")
    )
    given = (generic_resource("gpu=2"),)
    assert describe_host(given).generic_resources == given


@pytest.mark.parametrize("text", ["gpu", "=2", "gpu=", ""])
def test_what_is_none_is_refused(text):
    with pytest.raises(Invalid, match="KIND=NUMBER or KIND=NAME"):
        generic_resource(text)


def test_what_the_daemon_says_of_itself_is_a_label():
    assert describe_host().engine_labels == {}
    assert describe_host((), {"skep.balancer": "nft"}).engine_labels == {"skep.balancer": "nft"}
