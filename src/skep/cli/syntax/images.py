"""Names of images: with and without registry, tag and digest."""

from __future__ import annotations

import re

import msgspec

from skep.model.errors import Invalid

_REGISTRY = "docker.io"
_OFFICIAL = "library/"
_NAME = re.compile(
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"\w[\w.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")


class ImageName(msgspec.Struct, frozen=True):
    """An image's name in its parts; ``tag`` and ``digest`` may be empty."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def full(self) -> str:
        """Registry and path."""
        return f"{self.domain}/{self.path}"

    @property
    def short(self) -> str:
        """The path as people write it: without the registry that everybody means."""
        if self.domain != _REGISTRY:
            return self.full
        return self.path.removeprefix(_OFFICIAL)

    @property
    def familiar(self) -> str:
        """The whole name as people write it."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.short}{tag}{f'@{self.digest}' if self.digest else ''}"


def image_name(text: str) -> ImageName:
    """The parts of an image's name. Raises `Invalid` in docker's words. Source: reference."""
    rest, has_digest, digest = text.partition("@")
    front, slash, last = rest.rpartition("/")
    last, has_tag, tag = last.partition(":")
    path = f"{front}{slash}{last}"
    domain, slash, inner = path.partition("/")
    if not slash or not ("." in domain or ":" in domain or domain == "localhost"):
        domain, inner = _REGISTRY, path
    if domain in (_REGISTRY, "index.docker.io"):
        domain = _REGISTRY
        inner = inner if "/" in inner else f"{_OFFICIAL}{inner}"
    if any(letter.isupper() for letter in inner):
        raise Invalid(f"invalid reference format: repository name ({inner}) must be lowercase")
    wrong_tag = has_tag and not _TAG.fullmatch(tag)
    wrong_digest = has_digest and not _DIGEST.fullmatch(digest)
    if not _NAME.fullmatch(inner) or wrong_tag or wrong_digest:
        raise Invalid("invalid reference format")
    return ImageName(domain, inner, tag, digest)


def with_tag(name: ImageName) -> ImageName:
    """The same, tagged "latest" if it has neither tag nor digest."""
    return name if name.tag or name.digest else msgspec.structs.replace(name, tag="latest")
