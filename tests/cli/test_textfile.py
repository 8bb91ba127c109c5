"""Files whose text a user wants taken."""

import pytest

from skep.cli.container.body import _security
from skep.cli.stack.loading import read_files
from skep.cli.syntax.textfile import text_of
from skep.model.errors import Invalid


@pytest.mark.parametrize(
    "take", [text_of, lambda name: read_files([name]), lambda name: _security(f"seccomp={name}")]
)
def test_what_is_no_text_is_a_sentence(tmp_path, take):
    path = tmp_path / "binary"
    path.write_bytes(b"text\xff")
    with pytest.raises(Invalid, match=r"binary is no text in UTF-8 \(at byte 4\)"):
        take(str(path))


def test_a_profile_that_is_no_json_is_a_sentence(tmp_path):
    path = tmp_path / "profile"
    path.write_text("{")
    with pytest.raises(Invalid, match=r"compacting json for seccomp profile \(.*profile\) failed"):
        _security(f"seccomp={path}")
