"""A host's containers over real records, layout and files; engine, kernel, name server and session
are played."""

from skep.agent.containers import Containers
from skep.agent.converge import Outcome
from skep.agent.locals import Locals
from skep.agent.network import Network
from skep.agent.records import Records
from skep.model.assignment import Assignment, NetworkAssignment
from skep.model.cluster import Attachment, Subnet
from skep.model.errors import Missing
from skep.model.messages import Attached
from skep.model.spec import IpamConfig, NetworkSpec

NET = NetworkAssignment(
    id="netid", spec=NetworkSpec(name="net", driver="overlay", attachable=True), created_at=0.0,
    subnets=(Subnet(config=IpamConfig(subnet="10.0.1.0/24", gateway="10.0.1.1"), vni=4097),),
)  # fmt: skip


BODY = {"Image": "busybox", "HostConfig": {"NetworkMode": "net"}}


class FakeEngine:
    def __init__(self):
        self.bodies = {}
        self.states = {}
        self.refuse = {}
        self.names = {}

    async def image(self, reference):
        return None if reference == "nosuch" else {"Config": {"ExposedPorts": {"80/tcp": {}}}}

    def warnings(self, body):
        return []

    async def create(self, name, body):
        if "create" in self.refuse:
            raise self.refuse["create"]
        container_id = f"{len(self.bodies) + 1:064x}"
        self.bodies[container_id] = body
        self.names[container_id] = name
        self.states[container_id] = {"Running": False}
        if "answer" in self.refuse:
            raise self.refuse["answer"]
        return container_id

    async def containers(self):
        return [
            {"Id": each, "Names": [f"/{self.names[each]}"],
             "State": "running" if state["Running"] else "exited"}
            for each, state in self.states.items()
        ]  # fmt: skip

    async def start(self, container_id):
        if "start" in self.refuse:
            raise self.refuse["start"]
        self.states[container_id] = {"Running": True}
        return True

    async def update(self, container_id, limits):
        if "update" in self.refuse:
            raise self.refuse["update"]

    async def stop(self, container_id, timeout):
        self.states[container_id] = {"Running": False}
        return True

    async def remove(self, container_id, *, force, volumes):
        if "remove" in self.refuse:
            raise self.refuse["remove"]
        del self.states[container_id]

    async def inspect(self, container_id):
        if container_id not in self.states:
            raise Missing(f"No such container: {container_id}")
        body = self.bodies[container_id]
        return {
            "Name": f"/{self.names[container_id]}", "State": self.states[container_id],
            "HostConfig": body.get("HostConfig") or {}, "Config": body,
        }  # fmt: skip


class FakeKernel:
    """Notes which namespaces were to be made right, and what the view said then."""

    def __init__(self):
        self.view = None
        self.looks = []
        self.failures = ()

    def __call__(self, view):
        self.view = view
        return self

    async def converge(self, only=None):
        self.looks.append((frozenset(only), [box.namespace for box in self.view().sandboxes]))
        return Outcome(ops=(), failures=self.failures)

    def want(self):
        """A sweep is due; nothing here makes one."""


class FakeNames:
    def __init__(self):
        self.tables = []

    async def sync(self, table):
        self.tables.append(table)


class FakeUplink:
    def __init__(self):
        self.asked = []
        self.returned = []
        self.refuse = None

    async def attach(self, request):
        if self.refuse:
            raise self.refuse
        self.asked.append(request(1))
        attachment = Attachment(network_id="netid", address="10.0.1.5/24", aliases=("box",))
        return Attached(serial=1, task_id="att1", attachments=(attachment,))

    async def detach(self, task_id):
        self.returned.append(task_id)
        return True

    async def given_back(self, task_ids):
        assert set(task_ids) <= set(self.returned)


class Rig:
    def __init__(self, folder):
        self.engine = FakeEngine()
        self.kernel = FakeKernel()
        self.names = FakeNames()
        self.uplink = FakeUplink()
        records = Records(folder / "containers")
        records.load()
        locals_ = Locals(folder / "networks.json")
        ids = iter(f"{n:064x}" for n in range(1000, 2000))
        locals_.ensure_defaults(lambda: next(ids), 0.0, [])
        locals_.ensure_gateway(lambda: next(ids), 0.0, [])
        self.network = Network(records, locals_, self.kernel, self.names, folder / "sandboxes")
        self.network.assignment = Assignment(index=1, node_id="me", networks={"netid": NET})
        self.network.uplink = self.uplink
        self.containers = Containers(self.network, self.engine)
        self.folder = folder

    async def made(self, name="box", mode="net", **body):
        request = {"Image": "busybox", "HostConfig": {"NetworkMode": mode}, **body}
        container_id, _ = await self.containers.create(name, request)
        return self.containers.find(container_id)
