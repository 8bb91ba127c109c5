"""A text as words, by a shell's rules of quoting. Source: google/shlex."""

from __future__ import annotations

import shlex

from skep.model.errors import Invalid


def shell_words(text: str) -> list[str]:
    """The words; # begins a comment. Raises `Invalid` for a quote that is not closed."""
    reader = shlex.shlex(text, posix=True, punctuation_chars=False)
    reader.whitespace_split = True
    reader.commenters = "#"
    try:
        return list(reader)
    except ValueError as fault:
        raise Invalid("EOF found when expecting closing quote") from fault
