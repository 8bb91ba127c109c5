"""Tasks, as ``service ps`` and the progress bars of services read them."""

from __future__ import annotations

from skep.api.shapes.base import Json, instant, meta, wire
from skep.api.shapes.network import VXLAN_IDS
from skep.api.shapes.service import task_spec
from skep.cluster.claims import Programs
from skep.cluster.modes import is_job
from skep.cluster.view import View
from skep.model.cluster import Attachment, Network, Task, TaskState, TaskStatus
from skep.model.spec import TaskSpec


class Tasks:
    """The tasks of one answer: what many of them have in common is made once."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._specs: dict[tuple[str, int], tuple[TaskSpec, Json]] = {}
        self._networks: dict[str, Json] = {}
        self._programs = Programs(view)
        self._complaints: dict[str, str] = {}

    def task(self, record: Task) -> Json:
        """``GET /tasks/{id}``. ``Slot`` is absent for tasks of global services."""
        shown: Json = {
            "ID": record.id,
            **meta(record),
            "Labels": dict(record.labels),
            "Spec": self._spec(record),
            "ServiceID": record.service_id,
        }
        if record.slot:
            shown["Slot"] = record.slot
        if record.node_id:
            shown["NodeID"] = record.node_id
        shown["Status"] = _status(record.status)
        complaint = self._complaint(record)
        if complaint:
            shown["Status"].setdefault("Err", complaint)
        shown["DesiredState"] = record.desired_state.word
        shown["NetworksAttachments"] = [self._attachment(item) for item in record.attachments]
        if record.generic_resources:
            shown["GenericResources"] = wire(record.generic_resources)
        if self._is_job(record):
            shown["JobIteration"] = {"Index": record.job_iteration}
        return shown

    def _spec(self, record: Task) -> Json:
        key = (record.service_id, record.spec_version)
        known = self._specs.get(key)
        # One version has one spec, but for what may change without a new version.
        if known is None or (known[0] is not record.spec and known[0] != record.spec):
            known = self._specs[key] = record.spec, task_spec(record.spec)
        return known[1]

    def _complaint(self, record: Task) -> str:
        """What is wrong with the ports of a running task's service, though it runs."""
        service = self._view.services.get(record.service_id)
        if service is None or record.status.state != TaskState.RUNNING:
            return ""
        if service.id not in self._complaints:
            self._complaints[service.id] = self._programs.complaint(service)
        return self._complaints[service.id]

    def _is_job(self, record: Task) -> bool:
        service = self._view.services.get(record.service_id)
        return service is not None and is_job(service.spec)

    def _attachment(self, attachment: Attachment) -> Json:
        id = attachment.network_id
        if id not in self._networks:
            network = self._view.networks.get(id)
            self._networks[id] = {"ID": id, **(_network(network) if network else {})}
        addresses = [each for each in (attachment.address, attachment.address6) if each]
        return {"Network": self._networks[id], "Addresses": addresses}


def _status(status: TaskStatus) -> Json:
    shown: Json = {
        "Timestamp": instant(status.timestamp),
        "State": status.state.word,
        "Message": status.message,
        "PortStatus": {"Ports": wire(status.ports)} if status.ports else {},
    }
    if status.error:
        shown["Err"] = status.error
    if status.container_id:
        shown["ContainerStatus"] = {
            "ContainerID": status.container_id,
            "PID": status.pid,
            "ExitCode": status.exit_code,
        }
    return shown


def _network(network: Network) -> Json:
    spec = network.spec
    configs = [
        {"Subnet": subnet.config.subnet, "Gateway": subnet.config.gateway}
        for subnet in network.subnets
    ]
    return {
        **meta(network),
        "Spec": {
            "Name": spec.name,
            "Labels": dict(spec.labels),
            "DriverConfiguration": {"Name": spec.driver, "Options": dict(spec.options)},
            "Attachable": spec.attachable,
            "Ingress": spec.ingress,
            "IPAMOptions": {"Driver": {"Name": spec.ipam.driver}},
            "Scope": "swarm",
        },
        "DriverState": {
            "Name": spec.driver,
            "Options": {}
            if spec.lower
            else {VXLAN_IDS: ",".join(str(subnet.vni) for subnet in network.subnets)},
        },
        "IPAMOptions": {"Driver": {"Name": spec.ipam.driver}, "Configs": configs},
    }
