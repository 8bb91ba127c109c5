import pytest
from msgspec.structs import replace

from skep.cluster import control
from skep.cluster.assign import assign
from skep.cluster.templates import Values, expand, expanded
from skep.model.container import ContainerSpec, DriverConfig, Mount, VolumeOptions
from skep.model.errors import Invalid
from skep.model.spec import TaskSpec

RPC = "rpc error: code = InvalidArgument desc = "
VALUES = Values(
    fields={".Task.Slot": "3", ".Node.Hostname": "h1", ".Service.Name": "web"},
    labels={"zone": "a", "com.docker.x": "deep", "a.b": "dotted"},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain } { text", "plain } { text"),
        ("{{.Task.Slot}}", "3"),
        ("{{ .Node.Hostname }}", "h1"),
        ("a-{{.Service.Name}}-{{.Task.Slot}}-z", "a-web-3-z"),
        ("{{.Service.Labels.zone}}", "a"),
        ('{{index .Service.Labels "com.docker.x"}}', "deep"),
        ("{{index .Service.Labels `nosuch`}}", ""),
        ('{{join "-" .Service.Name .Task.Slot "x y"}}', "web-3-x y"),
        ('{{"quoted \\" text"}}', 'quoted " text'),
        ("a {{- .Task.Slot -}} b", "a3b"),
        ("a {{-3}}", None),
        ("{{.Task.Slot}", None),
        ("{{.Task.Slot}} {{", None),
        ("{{.Node.Shape}}", None),
        ("{{.Service.Labels.nosuch}}", None),
        ("{{.Service.Labels}}", None),
        ("{{}}", None),
        ("{{if .Task.Slot}}x{{end}}", None),
        ("{{.Task.Slot | print}}", None),
        ('{{join "-"}}', None),
        ('{{"\\q"}}', None),
    ],
)
def test_texts(text, expected):
    if expected is not None:
        assert expand(text, VALUES) == expected
        return
    with pytest.raises(Invalid) as refusal:
        expand(text, VALUES)
    assert str(refusal.value).startswith(f"{RPC}template ")


def test_a_missing_label_may_stand_for_something():
    assert expand("<{{.Service.Labels.nosuch}}>", replace(VALUES, missing="")) == "<>"


# --- in services

CONTAINER = ContainerSpec(
    image="nginx",
    hostname="{{.Node.Hostname}}-{{.Task.Slot}}",
    env=(
        "WHERE={{.Node.ID}}/{{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}",
        "{{.Node.ID}}",
    ),
    mounts=(
        Mount(
            source="{{.Service.Name}}-{{.Service.Labels.zone}}",
            target="/{{.Task.Name}}",
            volume_options=VolumeOptions(
                labels={"{{.Task.ID}}": "{{.Task.ID}}"},
                driver_config=DriverConfig(options={"o": "{{.Service.ID}}"}),
            ),
        ),
    ),
)


def test_a_host_gets_its_tasks_with_all_filled_in(swarm):
    swarm.change(
        control.create_service,
        replace(swarm.spec("web", container_spec=CONTAINER), labels={"zone": "b"}),
    )
    swarm.obey()
    (task,) = swarm.tasks("web")
    assert task.spec.container_spec == CONTAINER
    node = swarm.state.nodes[task.node_id]
    told = assign(swarm.state, node.id).tasks[task.id].spec
    assert told == expanded(task, swarm.service("web"), node)
    found = told.container_spec
    assert found.hostname == f"{node.description.hostname}-1"
    assert found.env == (f"WHERE={node.id}/linux/x86_64", "{{.Node.ID}}")
    (mount,) = found.mounts
    assert (mount.source, mount.target) == ("web-b", f"/{task.name}")
    assert mount.volume_options == VolumeOptions(
        labels={"{{.Task.ID}}": task.id},
        driver_config=DriverConfig(options={"o": task.service_id}),
    )


def test_what_has_no_placeholders_is_left_as_it_is(swarm):
    swarm.create("web")
    swarm.obey()
    (task,) = swarm.tasks("web")
    node = swarm.state.nodes[task.node_id]
    assert expanded(task, swarm.service("web"), node) is task.spec


def test_a_removed_services_tasks_are_still_told(swarm):
    labelled = ContainerSpec(image="a", hostname="x{{.Service.Labels.zone}}{{.Service.Name}}")
    swarm.change(
        control.create_service,
        replace(swarm.spec("web", container_spec=labelled), labels={"zone": "b"}),
    )
    swarm.obey()
    (task,) = swarm.tasks("web")
    swarm.change(control.remove_service, "web")
    told = assign(swarm.state, task.node_id).tasks[task.id]
    assert told.spec.container_spec.hostname == "xweb"


@pytest.mark.parametrize(
    ("container", "sentence"),
    [
        (
            {"hostname": "{{.Node.Shape}}"},
            "expanding hostname failed: template {{.Node.Shape}}: can't evaluate field .Node.Shape",
        ),
        (
            {"env": ("A={{.Task.X}}",)},
            'expanding env failed: expanding env "A={{.Task.X}}": '
            "template {{.Task.X}}: can't evaluate field .Task.X",
        ),
        (
            {"mounts": (Mount(target="/{{.X}}"),)},
            'expanding mounts failed: expanding mount target "/{{.X}}": '
            "template {{.X}}: can't evaluate field .X",
        ),
        (
            {"hostname": "{{.Service.Labels.zone}}"},
            "expanding hostname failed: template {{.Service.Labels.zone}}: "
            'map has no entry for key "zone"',
        ),
    ],
)
def test_what_cannot_be_filled_in_is_refused_at_once(swarm, container, sentence):
    spec = swarm.spec(container_spec=ContainerSpec(image="a", **container))
    with pytest.raises(Invalid) as refusal:
        swarm.change(control.create_service, spec)
    assert str(refusal.value) == RPC + sentence


def test_mounts_are_checked_as_they_will_be(swarm):
    mounts = (Mount(target="/{{.Service.Name}}"), Mount(target="/web"))
    spec = ContainerSpec(image="a", mounts=mounts)
    with pytest.raises(Invalid, match="duplicate mount point: /web"):
        swarm.create("web", container_spec=spec)


def test_a_label_that_a_template_needs_stays(swarm):
    container = ContainerSpec(image="a", hostname="{{.Service.Labels.zone}}")
    spec = replace(swarm.spec("web", container_spec=container), labels={"zone": "a"})
    swarm.change(control.create_service, spec)
    with pytest.raises(Invalid, match="map has no entry"):
        swarm.update("web", labels={})
    swarm.update("web", labels={}, task_template=TaskSpec(container_spec=ContainerSpec(image="a")))
