"""Requests about secrets and configs. They are alike, but for their size and who may read them."""

from __future__ import annotations

import re
from hmac import compare_digest

from msgspec.structs import replace

from skep.cluster import rpc
from skep.cluster.context import Context
from skep.cluster.needs import config_ids, secret_ids
from skep.cluster.state import Draft
from skep.model.cluster import Config, Secret, Service
from skep.model.errors import Invalid, OutOfSequence, Unsupported
from skep.model.spec import SecretSpec

SECRET_LIMIT = 500 * 1024
CONFIG_LIMIT = 1000 * 1024
"""Bytes that a secret's or config's data must stay below. Source: swarmkit manager/controlapi."""

LONGEST_NAME = 64

_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?")


# --- secrets


def create_secret(draft: Draft, context: Context, spec: SecretSpec) -> str:
    """Keep a secret; answers its id. Raises `Invalid`, `Clash` (name), `Unsupported`."""
    _check("secret", spec, SECRET_LIMIT)
    if draft.secret_named(spec.name) is not None:
        raise rpc.exists(f"secret {spec.name} already exists")
    id = context.new_id()
    draft.put(Secret(id=id, created_at=context.now, updated_at=context.now, spec=spec))
    return id


def update_secret(
    draft: Draft, context: Context, reference: str, version: int, spec: SecretSpec
) -> None:
    """Change a secret's labels. Raises `Missing`, `Invalid` (anything else), `OutOfSequence`."""
    secret = draft.find_secret(reference)
    spec = _relabelled(secret, version, spec)
    draft.put(replace(secret, spec=spec, updated_at=context.now))


def remove_secret(draft: Draft, _context: Context, reference: str) -> None:
    """Remove a secret that no service asks for. Raises `Missing`, `Invalid` (in use)."""
    secret = draft.find_secret(reference)
    users = [s for s in draft.services.values() if secret.id in secret_ids(s.spec.task_template)]
    if users:
        raise _in_use("secret", secret.spec.name, users)
    draft.delete(secret)


# --- configs


def create_config(draft: Draft, context: Context, spec: SecretSpec) -> str:
    """Keep a config; answers its id. Raises `Invalid`, `Clash` (name), `Unsupported`."""
    _check("config", spec, CONFIG_LIMIT)
    if draft.config_named(spec.name) is not None:
        raise rpc.exists(f"config {spec.name} already exists")
    id = context.new_id()
    draft.put(Config(id=id, created_at=context.now, updated_at=context.now, spec=spec))
    return id


def update_config(
    draft: Draft, context: Context, reference: str, version: int, spec: SecretSpec
) -> None:
    """Change a config's labels. Raises `Missing`, `Invalid` (anything else), `OutOfSequence`."""
    config = draft.find_config(reference)
    spec = _relabelled(config, version, spec)
    draft.put(replace(config, spec=spec, updated_at=context.now))


def remove_config(draft: Draft, _context: Context, reference: str) -> None:
    """Remove a config that no service asks for. Raises `Missing`, `Invalid` (in use)."""
    config = draft.find_config(reference)
    users = [s for s in draft.services.values() if config.id in config_ids(s.spec.task_template)]
    if users:
        raise _in_use("config", config.spec.name, users)
    draft.delete(config)


# --- rules


def _check(word: str, spec: SecretSpec, limit: int) -> None:
    if not spec.name:
        raise rpc.invalid("name must be provided")
    if len(spec.name) > LONGEST_NAME or not _NAME.fullmatch(spec.name):
        raise rpc.invalid(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, "
            "and the start and end character must be [a-zA-Z0-9]"
        )
    if spec.templating is not None and spec.templating.name:
        raise Unsupported(
            f"template driver {spec.templating.name} is not supported: "
            f"a {word} is given to containers as it is"
        )
    if not 0 < len(spec.data) < limit:
        raise rpc.invalid(f"{word} data must be larger than 0 and less than {limit} bytes")


def _relabelled(record: Secret | Config, version: int, spec: SecretSpec) -> SecretSpec:
    """The stored spec with other labels. No data stands for the same data."""
    same_data = not spec.data or compare_digest(spec.data, record.spec.data)
    if spec.name != record.spec.name or not same_data:
        raise rpc.invalid("only updates to Labels are allowed")
    if record.version != version:
        raise OutOfSequence
    return replace(record.spec, labels=spec.labels)


def _in_use(word: str, name: str, users: list[Service]) -> Invalid:
    names = sorted(service.spec.name for service in users)
    services = "service" if len(names) == 1 else "services"
    return rpc.invalid(f"{word} '{name}' is in use by the following {services}: {', '.join(names)}")


# --- what services ask for


def check_references(draft: Draft, secrets: dict[str, str], configs: dict[str, str]) -> None:
    """Raises `Invalid` in Docker's words unless all exist; they are names by id."""
    for word, records, wanted in (
        ("secret", draft.secrets, secrets),
        ("config", draft.configs, configs),
    ):
        missing = [
            name
            for id, name in wanted.items()
            if (record := records.get(id)) is None or record.spec.name != name
        ]
        if missing:
            plural = word if len(missing) == 1 else f"{word}s"
            raise rpc.invalid(f"{plural} not found: {', '.join(missing)}")
