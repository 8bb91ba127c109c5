"""What travels when a table changes."""

from hypothesis import given
from hypothesis import strategies as st

from skep.model.naming import NameTable, NetworkNames, SandboxNames
from skep.names.change import TableChange, changed, difference

KEYS = st.sampled_from("abcd")
NETWORKS = st.dictionaries(
    KEYS, st.builds(NetworkNames, id=KEYS, name=KEYS, addresses=st.dictionaries(KEYS, st.just(())))
)
SANDBOXES = st.dictionaries(KEYS, st.builds(SandboxNames, namespace=KEYS, forward=st.booleans()))
TABLES = st.builds(NameTable, networks=NETWORKS, sandboxes=SANDBOXES)


@given(TABLES, TABLES)
def test_a_difference_leads_from_one_table_to_the_other(old, new):
    assert changed(old, difference(old, new)) == new


@given(TABLES)
def test_nothing_travels_when_nothing_changed(table):
    assert difference(table, table) == TableChange()


def test_only_what_changed_travels():
    a, b = NetworkNames(id="a", name="a"), NetworkNames(id="b", name="b")
    old = NameTable(networks={"a": a, "b": b}, sandboxes={"x": SandboxNames(namespace="x")})
    renamed = NetworkNames(id="b", name="c")
    new = NameTable(networks={"a": a, "b": renamed})
    assert difference(old, new) == TableChange(put_networks={"b": renamed}, remove_sandboxes=("x",))
