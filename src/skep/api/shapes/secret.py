"""Secrets and configs, as ``inspect`` and ``ls`` show them."""

from __future__ import annotations

import base64

from skep.api.shapes.base import Json, meta, wire
from skep.model.cluster import Config, Secret
from skep.model.spec import SecretSpec


def secret(record: Secret) -> Json:
    """``GET /secrets/{id}``: all but its data, which leaves the managers for tasks alone."""
    return {"ID": record.id, **meta(record), "Spec": _spec(record.spec)}


def config(record: Config) -> Json:
    """``GET /configs/{id}``."""
    data = base64.b64encode(record.spec.data).decode()
    return {"ID": record.id, **meta(record), "Spec": {**_spec(record.spec), "Data": data}}


def _spec(spec: SecretSpec) -> Json:
    shown: Json = {"Name": spec.name, "Labels": dict(spec.labels)}
    if spec.templating is not None:
        shown["Templating"] = {"Name": spec.templating.name, **wire(spec.templating)}
    return shown
