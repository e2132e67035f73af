"""Random command lines: each ends cleanly, says what was wrong, and means the same however it is spelt.

``EPOCHAL_EXAMPLES=10000 pytest tests/cli/test_random_commands.py`` tries that many of each kind.
"""

import io
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from epochal import api
from epochal.cli import main, train
from epochal.core.values.axes import expand
from epochal.core.values.request import Request
from epochal.core.values.spec import Spec
from epochal.launch import plan
from epochal.report import files, page
from epochal.store.run import load
from tests.cli import grammar
from tests.report.runs import grokking_run, stored

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of strategies, in a failure
EXAMPLES = int(os.environ.get("EPOCHAL_EXAMPLES", "150"))
often = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="EPOCHAL_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
RUNS = ["synth-grid", "synth-five"]
MOST_LINES = 8


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where commands run: two stored runs, and nothing that trains; ``requests`` were to be trained."""

    runs: Path
    requests: list[Request] = field(default_factory=list, repr=False)

    def run_id(self, words: list[str]) -> str | None:
        """Of the run that a command would make; None where it makes none."""
        self.requests.clear()
        code, _ = ended(words)
        return self.requests[0].run_id if code == 0 and self.requests else None


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    runs = tmp_path_factory.mktemp("stage") / "runs"
    few: dict[str, Any] = {"num_records": 8, "num_seeds": 2}
    stored(grokking_run(runs, weight_decays=(0.1, 1.0), operations=("+", "-"), **few), runs, RUNS[0])
    stored(grokking_run(runs, **few), runs, RUNS[1])
    made = Stage(runs=runs)
    planned = plan.PackPlan(
        members=1, parameters=1, batch_size=1, steps=1, step_seconds=1.0, record_seconds=1.0, num_records=1,
        state_bytes=1, disk_bytes=1, executor="loop",
    )  # fmt: skip

    def execute(experiment: object, request: Request, *_: object, **__: object) -> object:
        made.requests.append(request)
        return load(runs / RUNS[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(runs.parent)
        patch.setenv("EPOCHAL_RUNS", str(runs))
        patch.setenv("EPOCHAL_DATA", str(runs.parent / "data"))
        patch.setattr(api, "execute", execute)
        patch.setattr(
            plan, "plan", lambda *_: plan.Plan(packs=[planned], executor="loop", side_by_side=1, peak_bytes=1)
        )
        patch.setattr(train, "print_run", lambda *_: None)
        patch.setattr(page, "write_report", lambda run, **_options: run.path / "report.html")
        patch.setattr(files, "save_figure", lambda *_: [])
        yield made


def ended(words: list[str]) -> tuple[int, list[str]]:
    """Exit code and lines on standard error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(words)
    assert isinstance(end.value.code, int)
    return end.value.code, err.getvalue().split("\n")[:-1]


def check(words: list[str]) -> tuple[int, list[str]]:
    code, lines = ended(words)
    assert code in (0, 2), (words, code, lines)
    assert (code == 2) == bool(lines), (words, code, lines)
    assert all(line.startswith("epochal: ") and line.strip() != "epochal:" for line in lines), (words, lines)
    assert len(lines) <= MOST_LINES and max(map(len, lines), default=0) < 600, (words, lines)
    return code, lines


@often
@given(words=grammar.run_commands())
def test_any_run_command_ends_cleanly(stage: Stage, words: list[str]) -> None:
    check(words)


@often
@given(words=grammar.looking_commands(RUNS))
def test_any_command_that_looks_ends_cleanly(stage: Stage, words: list[str]) -> None:
    check(words)


@often
@given(words=grammar.good_commands(), data=st.data())
def test_the_same_command_is_the_same_run(stage: Stage, words: list[str], data: st.DataObject) -> None:
    check(words)
    expected = stage.run_id(words)
    assume(expected is not None)
    spec_class = grammar.EXPERIMENTS[words[1]].spec_class
    other = [respelt(spec_class, word, data.draw) for word in data.draw(st.permutations(words[2:]))]
    assert stage.run_id([*words[:2], *other]) == expected, other


@often
@given(words=grammar.good_commands(), data=st.data())
def test_a_wrong_value_is_called_by_its_field(stage: Stage, words: list[str], data: st.DataObject) -> None:
    fields = grammar.EXPERIMENTS[words[1]].spec_class.model_fields
    taken = {word.partition("=")[0] for word in words[2:]}
    free = sorted(name for name in fields if name not in taken | {"data", "data_path", "data_checksum"})
    name = data.draw(st.sampled_from(free))
    assume(stage.run_id(words) is not None)
    code, lines = check([*words, f"{name}=?!"])
    assert (code == 2 and any(name in line for line in lines)) or "str" in str(fields[name].annotation)
    code, lines = check([*words, f"{name}x=1"])
    assert code == 2 and any(f"unknown field {name}x" in line for line in lines)


def respelt(spec_class: type[Spec], word: str, draw: Any) -> str:
    """Another spelling of the same setting: spaces, ranges as lists, numbers in other forms."""
    name, _, value = word.partition("=")
    kind = str(spec_class.model_fields[name].annotation)
    if not re.search(r"\b(int|float|bool|None)\b", kind) or "Schedule" in kind:  # tint is no int
        return f" {name}={value}"
    parts = value.split(",")
    try:
        if ":" in value and "log" not in value:
            parts = expand(value, numeric=True)
        if all(isinstance(float(part), float) for part in parts):
            value = ",".join(draw(st.sampled_from(spellings(part))) for part in parts)
    except ValueError:
        value = {"true": "True", "false": "False", "none": "None"}.get(value, value)
    return f"{draw(st.sampled_from(['', ' ']))}{name}={value}"


def spellings(number: str) -> list[str]:
    exact = Decimal(number)
    digits, exponent = f"{exact:e}".split("e")
    plain = f"{exact:f}"
    more = [f" {number} ", f"{digits}e{int(exponent)}"] if abs(int(exponent)) < 16 and len(plain) < 15 else []
    return [number, *more, *([plain + "0"] if "." in plain else [])]
