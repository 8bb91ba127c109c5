"""Tasks, and what their services say of them, in every mode."""

import json

import pytest
from api_host import NODE1, NODE2

from skep.model.cluster import TaskState
from skep.model.spec import PortConfig


@pytest.fixture
async def two(world):
    await world.swarm()
    await world.cluster.add_worker()
    return world


def spec(name, mode, *args, **more):
    container = {"Image": "busybox:latest", "Args": list(args)}
    return {"Name": name, "TaskTemplate": {"ContainerSpec": container}, "Mode": mode, **more}


async def get(client, path, **filters):
    mark = "&" if "?" in path else "?"
    path = f"{path}{mark}filters={json.dumps(filters)}" if filters else path
    async with client.get(path) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.json()


async def create(client, body):
    async with client.post("/services/create", json=body) as reply:
        assert reply.status == 201, await reply.text()
        return (await reply.json())["ID"]


async def change(client, name, **changes):
    """Post a service back as it was shown, with some members changed."""
    shown = await get(client, f"/services/{name}")
    path = f"/services/{name}/update?version={shown['Version']['Index']}"
    async with client.post(path, json={**shown["Spec"], **changes}) as reply:
        assert reply.status == 200, await reply.text()


async def status(client, name):
    (shown,) = await get(client, "/services?status=true", name=[name])
    return shown["ServiceStatus"]


async def test_a_global_service(two, client):
    await create(client, spec("g", {"Global": {}}))
    shown = await get(client, "/services/g")
    assert shown["Spec"]["Mode"] == {"Global": {}}
    tasks = await get(client, "/tasks", service=["g"])
    assert {task["NodeID"] for task in tasks} == {NODE1, NODE2}
    assert all("Slot" not in task and "JobIteration" not in task for task in tasks)
    assert await status(client, "g") == {"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 0}
    await two.cluster.lose(NODE2)
    assert await status(client, "g") == {"RunningTasks": 1, "DesiredTasks": 1, "CompletedTasks": 0}
    assert [s["Spec"]["Name"] for s in await get(client, "/services", mode=["global"])] == ["g"]


async def test_a_job(two, client):
    job = {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 5}}
    await create(client, spec("j", job, "wait"))
    shown = await get(client, "/services/j")
    assert shown["Spec"]["Mode"] == job
    assert shown["JobStatus"]["JobIteration"] == {"Index": 0}
    assert shown["JobStatus"]["LastExecution"] == shown["CreatedAt"]
    tasks = await get(client, "/tasks", service=["j"])
    assert [(t["JobIteration"], t["DesiredState"]) for t in tasks] == [
        ({"Index": 0}, "complete")
    ] * 2
    assert await status(client, "j") == {"RunningTasks": 0, "DesiredTasks": 2, "CompletedTasks": 0}
    await two.cluster.report(tasks[0]["ID"], state=TaskState.COMPLETE, container_id="c")
    assert (await status(client, "j"))["CompletedTasks"] == 1


async def test_a_job_s_numbers_are_shown_even_if_nobody_gave_them(two, client):
    await create(client, spec("j", {"ReplicatedJob": {}}))
    mode = (await get(client, "/services/j"))["Spec"]["Mode"]
    assert mode == {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
    await change(client, "j", Labels={"a": "b"})


async def test_a_job_that_runs_again(two, client):
    await create(client, spec("j", {"GlobalJob": {}}))
    assert await status(client, "j") == {"RunningTasks": 0, "DesiredTasks": 0, "CompletedTasks": 2}
    before = {task["ID"] for task in await get(client, "/tasks", service=["j"])}
    await change(client, "j", Labels={"again": "1"})
    assert (await get(client, "/services/j"))["JobStatus"]["JobIteration"] == {"Index": 1}
    current = await get(client, "/tasks", service=["j"], **{"_up-to-date": ["true"]})
    assert len(current) == 2
    assert not before & {task["ID"] for task in current}
    assert {task["JobIteration"]["Index"] for task in current} == {1}
    assert (await status(client, "j"))["CompletedTasks"] == 2


async def test_defaults_leave_jobs_without_updates(two, client):
    await create(client, spec("j", {"ReplicatedJob": {}}))
    shown = (await get(client, "/services/j?insertDefaults=true"))["Spec"]
    assert "UpdateConfig" not in shown
    assert shown["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] == 10_000_000_000


async def test_what_is_up_to_date(two, client):
    """Other labels or placement that still holds replace no task; another image does."""
    await create(client, spec("web", {"Replicated": {"Replicas": 2}}, "sleep"))
    ids = {task["ID"] for task in await get(client, "/tasks", service=["web"])}

    async def current():
        found = await get(client, "/tasks", service=["web"], **{"_up-to-date": ["true"]})
        return {task["ID"] for task in found if task["DesiredState"] == "running"}

    assert await current() == ids
    await change(client, "web", Labels={"a": "b"})
    assert await current() == ids
    template = (await get(client, "/services/web"))["Spec"]["TaskTemplate"]
    placed = {**template, "Placement": {"Constraints": ["node.platform.os==linux"]}}
    await change(client, "web", TaskTemplate=placed)
    assert await current() == ids
    container = {**template["ContainerSpec"], "Image": "nginx:latest"}
    await change(client, "web", TaskTemplate={**template, "ContainerSpec": container})
    renewed = await current()
    assert renewed
    assert not renewed & ids


async def test_ports_of_one_host(two, client):
    port = {"Protocol": "tcp", "TargetPort": 80, "PublishMode": "host"}
    await create(client, spec("h", {"Global": {}}, EndpointSpec={"Ports": [port]}))
    (task, _) = await get(client, "/tasks", service=["h"])
    assert task["Status"]["PortStatus"] == {}
    ports = (PortConfig(target_port=80, published_port=32768, publish_mode="host"),)
    await two.cluster.report(
        task["ID"], state=TaskState.RUNNING, container_id="c", pid=7, ports=ports
    )
    shown = (await get(client, f"/tasks/{task['ID']}"))["Status"]
    assert shown["PortStatus"] == {"Ports": [{**port, "PublishedPort": 32768}]}
    assert shown["ContainerStatus"] == {"ContainerID": "c", "PID": 7, "ExitCode": 0}


async def test_why_a_task_does_not_run(two, client):
    placement = {"Placement": {"Constraints": ["node.labels.disk==ssd"]}}
    body = spec("w", {})
    body["TaskTemplate"] |= placement
    await create(client, body)
    (task,) = await get(client, "/tasks", service=["w"])
    assert task["Status"]["State"] == "pending"
    assert task["Status"]["Err"].startswith("no suitable node (2 nodes: constraint")
    assert "NodeID" not in task
    await create(client, spec("f", {}, "fail"))
    (task, *_) = await get(client, "/tasks", service=["f"])
    assert (task["Status"]["State"], task["Status"]["Err"]) == (
        "failed",
        "task: non-zero exit (1)",
    )
    assert task["DesiredState"] == "shutdown"


async def test_generic_resources(two, client):
    resource = {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}
    body = spec("g", {})
    body["TaskTemplate"]["Resources"] = {"Reservations": {"GenericResources": [resource]}}
    await create(client, body)
    (task,) = await get(client, "/tasks", service=["g"])
    assert task["Spec"]["Resources"]["Reservations"] == {"GenericResources": [resource]}
    assert "insufficient gpu" in task["Status"]["Err"]


async def test_a_stack_s_tasks_are_found_until_they_are_gone(two, client):
    stack = {"com.docker.stack.namespace": "st"}
    body = spec("st_w", {"Replicated": {"Replicas": 2}}, "linger", Labels={**stack, "x": "y"})
    body["TaskTemplate"]["ContainerSpec"]["Labels"] = stack
    await create(client, body)
    await create(client, spec("other", {}, "sleep"))
    wanted = {"label": ["com.docker.stack.namespace=st"]}
    assert len(await get(client, "/tasks", **wanted)) == 2
    assert len(await get(client, "/tasks", label=["x=y"])) == 2
    async with client.delete("/services/st_w") as reply:
        assert reply.status == 200
    left = await get(client, "/tasks", **wanted)
    assert [task["DesiredState"] for task in left] == ["remove"] * 2
    for task in left:
        await two.cluster.report(task["ID"], state=TaskState.SHUTDOWN)
    assert await get(client, "/tasks", **wanted) == []
