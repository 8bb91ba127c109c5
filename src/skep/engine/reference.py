"""Names of images, as users write them and as engines keep them.

Source: the grammar of image references in the Docker distribution specification.
"""

from __future__ import annotations

DEFAULT_DOMAIN = "docker.io"
OFFICIAL = "docker.io/library/"
LOCAL = "localhost/"
"""Podman's home for images that were loaded or built under a name without a domain."""


def with_tag(reference: str) -> str:
    """The reference with ``:latest`` added unless it has a tag or a digest, or is an image's id."""
    if "@" in reference or reference.startswith("sha256:"):
        return reference
    if ":" in reference.rpartition("/")[2]:
        return reference
    return f"{reference}:latest"


def familiar(reference: str) -> str:
    """What Docker's users call the image: without ``docker.io/library/``, ``docker.io/`` and
    Podman's ``localhost/``."""
    for prefix in (OFFICIAL, f"{DEFAULT_DOMAIN}/", LOCAL):
        if reference.startswith(prefix):
            return reference[len(prefix) :]
    return reference


def canonical(reference: str) -> str:
    """The full name, with domain, repository and tag: ``nginx`` is
    ``docker.io/library/nginx:latest``."""
    first, slash, _ = reference.partition("/")
    if not slash:
        return with_tag(OFFICIAL + reference)
    if "." in first or ":" in first or first == "localhost":
        return with_tag(reference)
    return with_tag(f"{DEFAULT_DOMAIN}/{reference}")
