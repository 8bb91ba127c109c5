"""Jobs, and the flags of services that concern neither containers nor updates: as docker's client
sends them, on a lab."""

import os

import pytest
from swarm_lab import SwarmLab, until

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def lab():
    with SwarmLab(f"jobs{os.getpid()}", 2) as lab:
        lab.up()
        yield lab


def create(lab, name, *options, runs=("busybox", "sleep", "600")):
    return lab.docker(
        "h1", "service", "create", "-q", "--no-resolve-image", "--name", name,
        "--stop-grace-period", "0s", *options, *runs,
    )  # fmt: skip


def states(lab, name):
    form = "{{.Name}} {{.Node}} {{.CurrentState}}"
    return lab.docker("h1", "service", "ps", "--format", form, name).splitlines()


class TestJobs:
    def test_one_after_the_other_until_all_are_done(self, lab):
        """Without --detach docker waits for the end of it all."""
        clock = "cut -d' ' -f1 /proc/uptime"
        script = f"{clock}; sleep 0.3; {clock}"
        create(lab, "three", "--mode", "replicated-job", "--replicas", "3", "--max-concurrent", "1",
               runs=("busybox", "sh", "-c", script))  # fmt: skip
        listed = lab.docker("h1", "service", "ls", "--filter", "name=three", "--format",
                            "{{.Mode}} {{.Replicas}}")  # fmt: skip
        assert listed.strip() == "replicated job 0/1 (3/3 completed)"
        assert [line.split()[2] for line in states(lab, "three")] == ["Complete"] * 3

        def logged():
            said = lab.docker("h1", "service", "logs", "--raw", "three").split()
            return said if len(said) == 6 else None

        times = sorted(map(float, until(logged)))
        runs = {tuple(times[place : place + 2]) for place in (0, 2, 4)}
        assert all(end - begin >= 0.25 for begin, end in runs), "no two at a time"

    def test_one_on_every_host(self, lab):
        create(lab, "each", "--mode", "global-job", runs=("busybox", "true"))
        found = sorted(line.split()[1] for line in states(lab, "each") if "Complete" in line)
        assert found == ["h1", "h2"]

    def test_one_that_fails_is_tried_again(self, lab):
        create(lab, "flaky", "-d", "--mode", "replicated-job", "--restart-delay", "100ms",
               "--restart-max-attempts", "1", runs=("busybox", "false"))  # fmt: skip
        until(lambda: len([s for s in states(lab, "flaky") if "Failed" in s]) == 2, 60)

    def test_what_jobs_cannot_have(self, lab):
        code, _, said = lab.tried(
            "h1", "service", "create", "--mode", "replicated-job", "--update-delay", "1s", "busybox"
        )
        assert code == 1
        assert "job" in said


class TestFlags:
    def test_variables_out_of_a_file(self, lab, tmp_path):
        variables = tmp_path / "variables"
        variables.write_text("A=1\n# a remark\nB=two words\n")
        create(lab, "vars", "--env-file", str(variables), "--with-registry-auth",
               "--constraint", "node.role==manager")  # fmt: skip
        form = "{{json .Spec.TaskTemplate.ContainerSpec.Env}}"
        shown = lab.docker("h1", "service", "inspect", "-f", form, "vars")
        assert shown.strip() == '["A=1","B=two words"]'

    def test_other_arguments(self, lab):
        create(lab, "talk", "--label", "a=b", "--container-label", "c=d",
               runs=("busybox", "sh", "-c", "echo one; sleep 600"))  # fmt: skip
        until(lambda: "one" in lab.docker("h1", "service", "logs", "--raw", "talk"), 60)
        lab.docker("h1", "service", "update", "-q", "--with-registry-auth", "--args",
                   'sh -c "echo two; sleep 600"', "talk")  # fmt: skip
        until(lambda: "two" in lab.docker("h1", "service", "logs", "--raw", "talk"), 60)
        form = "{{json .Spec.TaskTemplate.ContainerSpec.Args}}"
        shown = lab.docker("h1", "service", "inspect", "-f", form, "talk")
        assert shown.strip() == '["sh","-c","echo two; sleep 600"]'
        lines = lab.docker("h1", "service", "logs", "--no-task-ids", "talk").splitlines()
        assert all(line.startswith("talk.1@h") for line in lines)
        detailed = lab.docker("h1", "service", "logs", "--details", "--tail", "1", "talk")
        assert [line.endswith("two") for line in sorted(detailed.split())].count(True) == 1

    @pytest.mark.parametrize(
        ("flags", "why"),
        [
            (("--isolation", "hyperv"), "isolation"),
            (("--credential-spec", "file://x"), "credential"),
        ],
    )
    def test_what_is_for_windows_is_refused(self, lab, flags, why):
        code, _, said = lab.tried("h1", "service", "create", "-d", *flags, "busybox")
        assert code == 1
        assert why in said.lower()

    def test_how_often_health_is_looked_at_in_the_beginning(self, lab):
        create(lab, "fit", "-d", "--health-cmd", "true", "--health-start-interval", "1s",
               "--health-start-period", "5s", "--health-interval", "1s")  # fmt: skip
        form = "{{.Spec.TaskTemplate.ContainerSpec.Healthcheck.StartInterval}}"
        assert lab.docker("h1", "service", "inspect", "-f", form, "fit").strip() == "1s"
        until(lambda: lab.running("fit", 1), 60)
