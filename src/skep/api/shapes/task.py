"""Tasks, as ``service ps`` and the progress bar of ``service create`` read them."""

from __future__ import annotations

from collections.abc import Mapping

from skep.api.shapes.base import Json, instant, meta, wire
from skep.api.shapes.network import VXLAN_IDS
from skep.api.shapes.service import task_spec
from skep.model.cluster import Attachment, Network, Task, TaskStatus


def task(record: Task, networks: Mapping[str, Network]) -> Json:
    """``GET /tasks/{id}``. ``Slot`` is absent for tasks of global services."""
    shown: Json = {
        "ID": record.id,
        **meta(record),
        "Labels": dict(record.labels),
        "Spec": task_spec(record.spec),
        "ServiceID": record.service_id,
    }
    if record.slot:
        shown["Slot"] = record.slot
    if record.node_id:
        shown["NodeID"] = record.node_id
    shown["Status"] = _status(record.status)
    shown["DesiredState"] = record.desired_state.word
    shown["NetworksAttachments"] = [
        _attachment(attachment, networks) for attachment in record.attachments
    ]
    return shown


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


def _attachment(attachment: Attachment, networks: Mapping[str, Network]) -> Json:
    network = networks.get(attachment.network_id)
    shown: Json = {"ID": attachment.network_id}
    if network is not None:
        shown |= _network(network)
    return {
        "Network": shown,
        "Addresses": [attachment.address] if attachment.address else [],
    }


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
            "Options": {VXLAN_IDS: ",".join(str(subnet.vni) for subnet in network.subnets)},
        },
        "IPAMOptions": {"Driver": {"Name": spec.ipam.driver}, "Configs": configs},
    }
