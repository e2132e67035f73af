"""Writes a complete file to start from, which passes its checks and says what to fill in."""

import keyword
from pathlib import Path
from string import Template
from typing import Literal, get_args

from epochal.core.values.errors import UserError
from epochal.store.atomic import write_file

Kind = Literal["probe", "rule", "study"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_TEMPLATES = Path(__file__).parent / "templates"


def write_new(kind: Kind, name: str, folder: Path, *, force: bool = False) -> tuple[Path, str]:
    """``folder/NAME.py``, and what the file names: the probe, the study, or the rule's class.

    Raises:
        UserError: the name is not Python's, or the file is there already.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise UserError(
            f"{name!r} cannot name a {kind} in Python: use letters, digits and _, such as my_{kind}"
        )
    path = folder / f"{name}.py"
    if path.exists() and not force:
        raise UserError(f"{path} is there already; choose another name, or overwrite it with --force")
    title = "".join(word[0].upper() + word[1:] for word in name.split("_") if word)
    text = Template((_TEMPLATES / f"{kind}.py.txt").read_text()).substitute(name=name, title=title)
    write_file(path, text.encode())
    return path, title if kind == "rule" else name
