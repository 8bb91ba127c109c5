"""A service's mode: how many tasks it has, and whether they run for good or to their end."""

from __future__ import annotations

from skep.cluster import constraints
from skep.cluster.needs import is_everywhere
from skep.model.cluster import JobStatus, Node, Service
from skep.model.spec import ReplicatedJob, ServiceSpec


def mode_of(spec: ServiceSpec) -> str:
    """The mode's name: replicated (also if none is given), global, replicated-job, global-job."""
    if spec.mode.global_ is not None:
        return "global"
    if spec.mode.replicated_job is not None:
        return "replicated-job"
    return "replicated" if spec.mode.global_job is None else "global-job"


def is_job(spec: ServiceSpec) -> bool:
    """Whether its tasks run to their end, once each."""
    return spec.mode.replicated_job is not None or spec.mode.global_job is not None


def replicas_of(spec: ServiceSpec) -> int:
    """How many tasks a replicated service has."""
    wanted = spec.mode.replicated.replicas if spec.mode.replicated else None
    return 1 if wanted is None else wanted


def completed(job: ReplicatedJob) -> ReplicatedJob:
    """A replicated job's numbers with Docker's defaults filled in.

    One at a time unless said otherwise, and as many completions as may run at once.
    """
    at_once = 1 if job.max_concurrent is None else job.max_concurrent
    total = at_once if job.total_completions is None else job.total_completions
    return ReplicatedJob(max_concurrent=at_once, total_completions=total)


def job_size(spec: ServiceSpec) -> tuple[int, int]:
    """How often a replicated job must complete, and how many of its tasks may run at once."""
    job = completed(spec.mode.replicated_job or ReplicatedJob())
    assert job.total_completions is not None and job.max_concurrent is not None
    return job.total_completions, job.max_concurrent or job.total_completions


def job_status(service: Service) -> JobStatus:
    """Which run of the job this is."""
    return service.job or JobStatus(last_execution=service.created_at)


def suits(spec: ServiceSpec, node: Node) -> bool:
    """Whether tasks of the service may stay on the node, should it be there: it is not drained,
    meets the constraints, and runs the image's platform."""
    if node.spec.availability == "drain":
        return False
    placement = spec.task_template.placement
    if placement is None:
        return True
    fits = constraints.runs_on(placement.platforms, node)
    return fits and not constraints.violated(placement.constraints, node)


def is_open(node: Node) -> bool:
    """Whether the node takes new tasks."""
    return node.state == "ready" and node.spec.availability == "active"


__all__ = [
    "completed",
    "is_everywhere",
    "is_job",
    "is_open",
    "job_size",
    "job_status",
    "mode_of",
    "replicas_of",
    "suits",
]
