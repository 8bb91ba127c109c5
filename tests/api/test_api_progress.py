"""The docker CLI's progress: it ends by itself, in every mode, whatever happens."""

import asyncio
import json
import re
import shutil

import pytest
from api_host import NODE2
from api_world import until, words

from skep.model.cluster import TaskState

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker CLI")

QUICK = ("--update-monitor", "200ms", "--rollback-monitor", "200ms", "--restart-delay", "50ms")


@pytest.fixture
async def two(world):
    await world.swarm()
    await world.cluster.add_worker()
    return world


async def test_a_global_service(two):
    out = await two.docker("service", "create", "--mode", "global", "--name", "g", *QUICK, "nginx")
    assert "overall progress: 2 out of 2 tasks" in out
    assert out.endswith("converged\n")
    form = "{{.Name}} {{.Mode}} {{.Replicas}}"
    assert await two.docker("service", "ls", "--format", form) == "g global 2/2\n"
    out = await two.docker("service", "update", "--env-add", "A=1", "g")
    assert out.endswith("converged\n")
    refused = await two.docker("service", "scale", "g=2", code=1)
    assert refused == "g: scale can only be used with replicated or replicated-job mode\n"
    lines = words(await two.docker("service", "ps", "g"))[1:]
    rows = [
        re.fullmatch(r"\w+ (\\_ )?g\.\w{25} nginx:latest (\w+) (\w+) .*", line) for line in lines
    ]
    assert [row and row.groups() for row in rows] == [
        (None, "node1", "Running"),
        ("\\_ ", "node1", "Shutdown"),
        (None, "node2", "Running"),
        ("\\_ ", "node2", "Shutdown"),
    ]


async def test_jobs(two):
    out = await two.docker(
        "service", "create", "--mode", "replicated-job", "--replicas", "4", "--max-concurrent", "2",
        "--name", "j", "busybox", "true",
    )  # fmt: skip
    assert out.endswith("job complete\n")
    form = "{{.Name}} {{.Mode}} {{.Replicas}}"
    out = await two.docker("service", "ls", "--format", form)
    assert out == "j replicated job 0/2 (4/4 completed)\n"
    out = await two.docker("service", "ps", "j", "--format", "{{.DesiredState}} {{.CurrentState}}")
    assert {re.sub(r" (less|\d).*", "", line) for line in words(out)} == {"Complete Complete"}
    out = await two.docker("service", "create", "--mode", "global-job", "--name", "gj", "busybox")
    assert out.endswith("job complete\n")
    out = await two.docker("service", "ls", "--filter", "name=gj", "--format", form)
    assert out == "gj global job 0/0 (2/2 completed)\n"
    out = await two.docker("service", "update", "--force", "j")
    assert out.endswith("job complete\n")
    assert "Service Mode:" in await two.docker("service", "inspect", "--pretty", "j")


async def test_scaling(two):
    await two.docker("service", "create", "--detach", "--name", "a", *QUICK, "nginx")
    await two.docker("service", "create", "--detach", "--name", "b", *QUICK, "nginx")
    out = await two.docker("service", "scale", "a=3", "b=0")
    assert "a scaled to 3\n" in out
    assert out.count("converged") == 2
    assert await two.docker("service", "ls", "--format", "{{.Name}} {{.Replicas}}") == (
        "a 3/3\nb 0/0\n"
    )


async def test_an_update_and_its_rollback(two):
    await two.docker("service", "create", "--detach", "--name", "w", "--replicas", "3", *QUICK,
                     "nginx")  # fmt: skip
    update = ("service", "update", "--image", "nginx:2", "--update-parallelism", "2", "w")
    assert (await two.docker(*update)).endswith("converged\n")
    inspect = ("service", "inspect", "-f", "{{json .UpdateStatus}}", "w")
    status = json.loads(await two.docker(*inspect))
    assert status["State"] in ("updating", "completed")
    await until(lambda: two.cluster.state().find_service("w").update_status.state == "completed")
    status = json.loads(await two.docker(*inspect))
    assert (status["State"], status["Message"]) == ("completed", "update completed")
    assert status["StartedAt"] < status["CompletedAt"]
    out = await two.docker("service", "inspect", "--pretty", "w")
    assert re.search(r"UpdateStatus:\n State:\s+completed\n", out)
    out = await two.docker("service", "rollback", "w")
    assert "rollback: manually requested rollback" in out
    assert out.endswith("converged\n")
    out = await two.docker("service", "ps", "w", "--format", "{{.Image}} {{.DesiredState}}")
    assert sorted(words(out)) == (
        ["nginx:2 Shutdown"] * 3 + ["nginx:latest Running"] * 3 + ["nginx:latest Shutdown"] * 3
    )


async def test_an_update_that_fails_pauses(two):
    await two.docker("service", "create", "--detach", "--name", "w", *QUICK, "nginx", "sleep")
    refused = await two.docker("service", "update", "--args", "fail", "w", code=1)
    assert "service update paused: update paused due to failure or early termination of" in refused
    out = await two.docker("service", "ps", "w", "--no-trunc", "--format", "{{.Error}}")
    assert "task: non-zero exit (1)" in out


async def test_an_update_that_fails_goes_back(two):
    await two.docker("service", "create", "--detach", "--name", "w", *QUICK,
                     "--update-failure-action", "rollback", "nginx", "sleep")  # fmt: skip
    out = await two.docker("service", "update", "--args", "fail", "w")
    assert "rollback: update rolled back due to failure or early termination of task" in out
    assert out.endswith("converged\n") or "rollback completed" in out
    args = "{{.Spec.TaskTemplate.ContainerSpec.Args}}"
    assert await two.docker("service", "inspect", "-f", args, "w") == "[sleep]\n"


async def test_waiting_for_what_does_not_come_yet(two):
    async with two.begin_docker("service", "create", "--name", "w", *QUICK, "nginx", "wait") as cli:
        await until(lambda: list(two.cluster.state().tasks.values()))
        (task,) = two.cluster.state().tasks.values()
        while b"0 out of 1" not in (line := await asyncio.wait_for(cli.stdout.readline(), 60)):
            assert line
        await two.cluster.report(task.id, state=TaskState.RUNNING, container_id="c")
        out, _ = await asyncio.wait_for(cli.communicate(), 60)
        assert out.endswith(b"converged\n")


async def test_history_and_errors(two):
    await two.docker("service", "create", "--detach", "--name", "f", *QUICK,
                     "--restart-max-attempts", "2", "nginx", "fail")  # fmt: skip
    ended = [TaskState.FAILED] * 3
    await until(lambda: [x.status.state for x in two.cluster.state().tasks.values()] == ended)
    form = "{{.Name}} {{.DesiredState}} {{.CurrentState}} {{.Error}}"
    out = words(await two.docker("service", "ps", "--no-trunc", "f", "--format", form))
    assert len(out) == 3
    assert all(line.startswith("f.1 Shutdown Failed") for line in out)
    assert all(line.endswith('"task: non-zero exit (1)"') for line in out)
    out = await two.docker("service", "ps", "-q", "--filter", "desired-state=running", "f")
    assert out == ""
    found = [await two.docker("node", "ps", node, "-q") for node in ("node1", "node2")]
    assert len("".join(found).split()) == 3


async def test_a_stack_that_is_removed_is_waited_for(two):
    label = "com.docker.stack.namespace=st"
    await two.docker("service", "create", "--detach", "--name", "st_a", "--label", label,
                     "--container-label", label, "nginx", "linger")  # fmt: skip
    (task,) = two.cluster.running("st_a")
    async with two.begin_docker("stack", "rm", "--detach=false", "st") as cli:
        await until(lambda: not two.cluster.state().services)
        await asyncio.sleep(0.1)
        assert cli.returncode is None, "its task is still there"
        await two.cluster.report(task.id, state=TaskState.SHUTDOWN)
        _, complaints = await asyncio.wait_for(cli.communicate(), 60)
        assert (cli.returncode, complaints) == (0, b"")


async def test_a_lost_node(two):
    await two.docker("service", "create", "--detach", "--name", "w", "--replicas", "2", "nginx")
    await two.cluster.lose(NODE2)
    out = await two.docker("service", "ps", "w", "--format", "{{.Node}} {{.DesiredState}}")
    assert sorted(words(out)) == ["node1 Running"] * 2 + ["node2 Shutdown"]
    assert await two.docker("node", "ls", "--format", "{{.Hostname}} {{.Status}}") == (
        "node1 Ready\nnode2 Down\n"
    )
    assert "node2" in await two.docker("node", "rm", "node2")
