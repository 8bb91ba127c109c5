"""Names that mean different things to different sandboxes, over real sockets."""

import pytest

from skep.model.naming import NameTable, NetworkNames, SandboxNames, ServiceNames, TaskName

pytestmark = pytest.mark.root


async def test_each_sandbox_sees_its_own_stack(rig):
    for name in ("one", "two"):
        rig.namespace(name)
    rig.server()
    client = await rig.client()
    network = NetworkNames(
        id="N",
        name="net",
        services={
            "B": ServiceNames(tasks=(TaskName("b.1.x", "10.0.1.4"),), waiting=("10.0.1.5",)),
            "G": ServiceNames(tasks=(TaskName("g.1.y", "10.0.1.6"),)),
        },
        scopes={"": {"db": ("G",)}, "blue": {"db": ("B",)}},
    )
    boxes = {
        "one": SandboxNames(namespace="one", networks=("N",), stack="blue"),
        "two": SandboxNames(namespace="two", networks=("N",)),
    }
    await client.sync(NameTable(networks={"N": network}, sandboxes=boxes))
    assert await rig.addresses("one", "db") == ["10.0.1.4"]
    assert await rig.addresses("one", "tasks-all.db") == ["10.0.1.4", "10.0.1.5"]
    assert await rig.addresses("two", "db") == ["10.0.1.6"]
    assert await rig.addresses("two", "db.blue") == ["10.0.1.4"]
    moved = boxes | {"two": SandboxNames(namespace="two", networks=("N",), stack="blue")}
    await client.sync(NameTable(networks={"N": network}, sandboxes=moved))
    assert await rig.addresses("two", "db") == ["10.0.1.4"]
    service = await rig.ask("two", "_80._tcp.db", "SRV")
    assert [(r.port, r.target.to_text()) for r in service.answer[0]] == [(80, "b.1.x.net.")]
    assert service.additional[0][0].address == "10.0.1.4"
    await client.close()
