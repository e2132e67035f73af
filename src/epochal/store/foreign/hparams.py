"""``hparams.yaml`` of Lightning: names and plain values. Tags are not obeyed, so nothing is constructed."""

import re
from pathlib import Path

from epochal.store.foreign.log import Value

LINE = re.compile(r"(?P<indent> *)(?P<name>[^\s#'\"\-][^:#]*?|'[^']*'|\"[^\"]*\") *:(?: +(?P<value>.*))?$")
COMMENT = re.compile(r" #.*$")
WORDS: dict[str, Value] = {"": None, "null": None, "~": None, "true": True, "false": False}
NUMBER = re.compile(r"[-+]?(\d[\d_]*)?(\.\d*)?([eE][-+]?\d+)?$|[-+]?\.(inf|nan)$", re.IGNORECASE)


def read_hparams(path: Path) -> dict[str, Value]:
    """Scalars by name, nested mappings as dotted names; lists, tagged values and blocks of text left out."""
    found: dict[str, Value] = {}
    parents: list[tuple[int, str]] = []
    skipped: int | None = None  # the indent below which lines belong to something that is left out
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip() or line.lstrip().startswith("#") or line.startswith(("---", "...", "%")):
            continue
        indent = len(line) - len(line.lstrip(" "))
        if skipped is not None and (indent > skipped or line.lstrip().startswith("- ")):
            continue
        skipped = None
        match = LINE.match(line)
        if not match:
            if line.lstrip().startswith("-") and parents:  # the list that the last name holds
                found.pop(".".join(parent for _, parent in parents), None)
            skipped = indent
            continue
        while parents and parents[-1][0] >= indent:
            parents.pop()
        name = match["name"].strip("'\" ")
        value = (match["value"] or "").strip()
        whole = ".".join([*(parent for _, parent in parents), name])
        if not value:
            parents.append((indent, name))
            found[whole] = None
            continue
        if value[0] in "!&*|>[{":
            skipped = indent
            continue
        found[whole] = scalar(value)
    # A name with names below it is a mapping and holds no value of its own.
    return {
        name: value
        for name, value in found.items()
        if not (value is None and any(other.startswith(f"{name}.") for other in found))
    }


def scalar(text: str) -> Value:
    """A plain YAML scalar: null, true and false, a number, or text without its quotes."""
    if text[0] in "'\"" and text.endswith(text[0]) and len(text) > 1:
        return text[1:-1]
    text = COMMENT.sub("", text).strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if NUMBER.match(text) and re.search(r"\d|inf|nan", text, re.IGNORECASE):
        plain = text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan")
        return int(plain) if re.fullmatch(r"[-+]?\d+", plain) else float(plain)
    return text
