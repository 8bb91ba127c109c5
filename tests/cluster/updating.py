"""What tests of updates share: a service, an update of it, and hosts that do what they are told."""

from skep.cluster.lives import is_placed
from skep.model.cluster import TaskState
from skep.model.spec import SECOND, ContainerSpec, RestartPolicy, TaskSpec, UpdateConfig

RUNNING, SHUTDOWN, FAILED = TaskState.RUNNING, TaskState.SHUTDOWN, TaskState.FAILED
OLD, NEW, BAD = "nginx:1", "nginx:2", "broken"
SOON = RestartPolicy(delay=SECOND)


def template(image=NEW, **rest):
    return TaskSpec(container_spec=ContainerSpec(image=image), restart_policy=SOON, **rest)


def image(task):
    return task.spec.container_spec.image


def images(world, name="web"):
    return sorted(image(task) for task in world.live(name))


def status(world, name="web"):
    found = world.service(name).update_status
    return found and (found.state, found.message)


def begin(world, new=NEW, replicas=3, **config):
    """A running service, and an update of it."""
    world.create("web", replicas, image=OLD, restart_policy=SOON)
    world.obey()
    update(world, new, **config)


def update(world, new=NEW, rollback=None, **config):
    world.update(
        "web",
        task_template=template(new),
        update_config=UpdateConfig(**{"parallelism": 1, **config}),
        rollback_config=rollback,
    )


def step(world, fail=(BAD,), worst=FAILED):
    """Reconcile, then every host does what it is told; whether there was anything to do.

    Tasks of the images in ``fail`` run and die at once.
    """
    world.settle()
    todo = [(t, SHUTDOWN) for t in world.stopping("web")]
    for task in world.live("web"):
        if is_placed(task) and task.status.state < RUNNING:
            todo.append((task, worst if image(task) in fail else RUNNING))
    for task, state in todo:
        world.report(task, state)
    return bool(todo)


def play(world, **rules):
    """All steps at one instant."""
    for _ in range(50):
        if not step(world, **rules):
            return
    raise AssertionError("it never comes to rest")
