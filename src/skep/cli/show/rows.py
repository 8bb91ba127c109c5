"""Fields that the rows of several listings have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHORT = 12
_DEFAULT_REGISTRY = "docker.io/"


def short_id(identity: str) -> str:
    """An id as listings show it: without the digest's name, twelve characters."""
    return identity.partition(":")[2][:_SHORT] if ":" in identity else identity[:_SHORT]


def label_fields(labels: Mapping[str, str] | None) -> dict[str, Any]:
    """All labels as text, and ``.Label "key"``."""
    known = labels or {}
    text = ",".join(f"{key}={known[key]}" for key in sorted(known))
    return {"Labels": text, "Label": lambda key: known.get(key, "")}


def ellipsis(text: str, width: int) -> str:
    """Text of at most so many characters, the last one "…" where something was left out."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def familiar(image: str) -> str:
    """An image's name without its digest, if it also has a tag."""
    name, digest, _ = image.partition("@")
    tagged = ":" in name.rpartition("/")[2]
    kept = name if digest and tagged else image
    kept = kept.removeprefix(_DEFAULT_REGISTRY)
    return kept.removeprefix("library/") if image.startswith(_DEFAULT_REGISTRY) else kept


def first_upper(text: str) -> str:
    """As docker prints states: "running" -> "Running"."""
    return text[:1].upper() + text[1:]
