"""Own code by its source: read and hashed, never executed, whatever is written before it."""

from pathlib import Path

import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.source import (
    as_typed,
    copy_name,
    digest_of,
    hashed,
    is_own,
    read_source,
    without_hash,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text("raise SystemExit('executed')\n")
    return path


def test_every_form_of_a_value(file: Path) -> None:
    digest = digest_of(file.read_bytes())
    assert len(digest) == 16 and digest != digest_of(file.read_bytes() + b"#")
    given: dict[str, object] = {
        "model": f"{file}:Net,mlp",
        "probes": f"+{file}:f@wide,-{file}:g,+loss",
        "rule": [f"{file}:R"],
        "zip": f"zip(model={file}:Net,mlp,width=1,2)",
        "data_path": f"{file}:not_a_field_of_code",
        "seed": 3,
    }
    settings, code = hashed(given)
    assert code == {digest: str(file)}
    assert settings == {
        "model": f"Net#{digest},mlp",
        "probes": f"+f#{digest}@wide,-g#{digest},+loss",
        "rule": [f"R#{digest}"],
        "zip": f"zip(model=Net#{digest},mlp,width=1,2)",
        "data_path": given["data_path"],
        "seed": 3,
    }
    assert is_own(f"Net#{digest}") and not is_own("mlp") and not is_own(f"Net#{digest}@wide")
    assert as_typed(str(settings["zip"]), code) == given["zip"]
    assert without_hash(str(settings["probes"])) == "+f@wide,-g,+loss"


def test_the_copy_has_a_plain_name_and_the_same_bytes(file: Path) -> None:
    digest = digest_of(file.read_bytes())
    assert copy_name("some where/my-net.v2.py", digest) == f"my_net_v2-{digest}.py"
    assert read_source(file, digest) == file.read_bytes()
    file.write_text("edited")
    with pytest.raises(UserError, match="is not what it was"):
        read_source(file, digest)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{folder}/mine.py", "names nothing in a file; write model="),
        ("{folder}/mine.py:", "names nothing in a file"),
        ("{folder}/mine.py:1x", "names nothing in a file"),
        ("{folder}/other.py:Net", "there is no file"),
        ("{folder}/bad.py:Net", "line 1 of"),
        ("{folder}/null.py:Net", "is not Python"),
        ("{folder}/folder.py:Net", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(file: Path, text: str, problem: str) -> None:
    (file.parent / "bad.py").write_text("def (:")
    (file.parent / "null.py").write_bytes(b"a\0b")
    (file.parent / "folder.py").mkdir()
    with pytest.raises(UserError) as error:
        hashed({"model": text.format(folder=file.parent)})
    assert problem in str(error.value) and len(str(error.value).splitlines()) == 1
