"""Files that users name, whose text is wanted."""

from __future__ import annotations

from pathlib import Path

from skep.model.errors import Invalid


def text_of(path: str, *, encoding: str = "utf-8") -> str:
    """A file's text. Raises `Invalid` if it is none, `OSError` if it cannot be read."""
    try:
        return Path(path).read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is no text in UTF-8 (at byte {error.start})") from error
