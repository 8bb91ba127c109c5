"""Shapes: the model's values in Docker's JSON."""

import pytest

from skep.api.schema import decode
from skep.api.shapes import container, service
from skep.api.shapes.base import instant, wire
from skep.model.cluster import JobStatus, Service, UpdateStatus
from skep.model.spec import (
    EndpointSpec,
    PortConfig,
    Replicated,
    ReplicatedJob,
    ServiceMode,
    ServiceSpec,
    UpdateConfig,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0001-01-01T00:00:00Z"),
        (1700000000.0, "2023-11-14T22:13:20Z"),
        (1700000000.25, "2023-11-14T22:13:20.25Z"),
        (1700000000.000001, "2023-11-14T22:13:20.000001Z"),
        (1700000000.9999999, "2023-11-14T22:13:21Z"),
    ],
)
def test_instants(seconds, text):
    assert instant(seconds) == text


def test_specs_leave_out_zero_values_but_not_defaults():
    assert wire(EndpointSpec()) == {"Mode": "vip"}
    assert wire(PortConfig(target_port=80)) == {
        "Protocol": "tcp",
        "TargetPort": 80,
        "PublishMode": "ingress",
    }
    assert wire(UpdateConfig()) == {"Parallelism": 0, "MaxFailureRatio": 0.0}
    assert wire(ServiceMode(replicated=Replicated(replicas=0))) == {"Replicated": {"Replicas": 0}}
    assert wire(ServiceMode(global_={})) == {"Global": {}}


def test_what_is_shown_decodes_to_what_it_was():
    spec = ServiceSpec(
        name="w",
        mode=ServiceMode(replicated=Replicated(replicas=2)),
        update_config=UpdateConfig(parallelism=2),
        endpoint_spec=EndpointSpec(ports=(PortConfig(target_port=80, published_port=8080),)),
    )
    assert decode(wire(spec), ServiceSpec) == spec


def test_progress_of_an_update():
    record = Service(
        id="s",
        spec=ServiceSpec(mode=ServiceMode(replicated_job=ReplicatedJob())),
        update_status=UpdateStatus(state="completed", started_at=1.0, completed_at=2.0),
        job=JobStatus(3, 1.0),
    )
    shown = service.service(record)
    assert shown["UpdateStatus"] == {
        "State": "completed",
        "Message": "",
        "StartedAt": "1970-01-01T00:00:01Z",
        "CompletedAt": "1970-01-01T00:00:02Z",
    }
    assert shown["JobStatus"]["JobIteration"] == {"Index": 3}


def test_digests():
    assert container.digest("ab") == "sha256:ab"
    assert container.digest("sha256:ab") == "sha256:ab"
    assert container.digest("") == ""
