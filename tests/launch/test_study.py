"""Studies: what is frozen, what counts as later, what resumes, what is spent."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from epochal.analysis import alpha_spending
from epochal.core.values.errors import UserError
from epochal.core.values.result_table import ResultTable
from epochal.launch.studies.document import differences
from epochal.launch.studies.resolve import resolve
from epochal.launch.studies.runs import gathered
from epochal.launch.watching.listener import Silent, Start
from epochal.store.studies import read_analyses, read_plan, read_runs
from epochal.studies import find
from tests.launch.studies import conducted, planned, write

LOOKS = "DeclaredLooks(runs=(2, 4), spending='pocock')"


def test_the_plan_is_the_same_in_every_process_and_any_part_of_the_design_changes_it(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert planned(tmp_path).plan_hash == plan.plan_hash
    assert json.loads(json.dumps(plan.document)) == plan.document
    changes: Sequence[Mapping[str, str]] = (
        {"gap": "2.0"}, {"threshold": "0.6"}, {"seeds": "0:5"}, {"fast": "2e-2"}, {"looks": LOOKS},
        {"num_findings": "1"},
    )  # fmt: skip
    others = [planned(tmp_path, **change) for change in changes]
    assert len({plan.plan_hash, *(other.plan_hash for other in others)}) == 1 + len(changes)
    # What only judges finds the data in the same folder; other data have another.
    same = [other.directory == plan.directory for other in others]
    assert same == [True, True, False, False, True, True]


def test_where_a_run_executes_is_no_part_of_the_plan(tmp_path: Path) -> None:
    found = find(write(tmp_path))
    plain, elsewhere = resolve(found), resolve(found, overrides={"threads": "2"})
    assert elsewhere.plan_hash == plain.plan_hash
    assert not elsewhere.departures


def test_a_study_by_its_plan_is_not_exploratory_and_cites_its_networks(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    study = conducted(plan, tmp_path, with_pages=True)
    assert study.exploratory == ()
    assert not any(finding.exploratory for finding in study.findings)
    ids = [set(batch.request.member_ids) for batch in plan.batches]
    assert [set(finding.member_ids) for finding in study.findings] == ids
    assert not ids[0] & ids[1]
    assert {finding.varied_streams for finding in study.findings} == {("all",)}
    [analysis] = read_analyses(study.path)
    assert [row["member_ids"] for row in analysis["findings"]] == [list(f.member_ids) for f in study.findings]
    assert analysis["plan_hash"] == plan.plan_hash == (read_plan(study.path) or {})["plan_hash"]
    # Holm: the smaller of two equal p counts twice.
    assert [finding.adjusted_p for finding in study.findings] == [0.002, 0.002]
    page = (study.path / "report.html").read_text()
    assert all(finding.sentence.replace("'", "&#39;") in page for finding in study.findings)
    assert all(f'href="../../runs/{name}/report.html"' in page for name in read_runs(study.path).values())


def test_a_margin_that_is_edited_after_the_data_is_exploratory_and_the_first_verdict_stays(
    tmp_path: Path,
) -> None:
    conducted(planned(tmp_path), tmp_path)
    later = conducted(planned(tmp_path, gap="2.0"), tmp_path, with_pages=True)
    assert len(list((tmp_path / "studies").iterdir())) == 1
    assert "margins.gap 3 -> 2" in later.exploratory[0]
    assert all(f.exploratory and f.sentence.endswith("Exploratory.") for f in later.findings)
    first, second = read_analyses(later.path)
    assert (first["exploratory"], first["findings"][0]["margin"]) == ([], 3.0)
    assert second["findings"][0]["exploratory"] is True
    assert (read_plan(later.path) or {})["plan"]["margins"] == {"gap": 3.0}
    assert "Other analyses of these data" in (later.path / "report.html").read_text()
    # Deleting the runs does not make the plan a new one: they had been seen.
    for run in (tmp_path / "runs").glob("[!.]*"):
        run.rename(tmp_path / f"moved-{run.name}")
    assert conducted(planned(tmp_path, gap="2.0"), tmp_path).exploratory


def test_the_plan_may_change_until_there_are_data(tmp_path: Path) -> None:
    class Never(Silent):
        def started(self, start: Start) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conducted(planned(tmp_path), tmp_path, Never())
    for run in (tmp_path / "runs").glob("[!.]*"):
        run.rename(tmp_path / f"moved-{run.name}")  # as if it had been killed before the run's directory
    assert conducted(planned(tmp_path, gap="2.0"), tmp_path).exploratory == ()


def test_networks_that_were_trained_before_the_plan_make_it_exploratory(tmp_path: Path) -> None:
    conducted(planned(tmp_path), tmp_path)
    more = conducted(planned(tmp_path, seeds="0:6"), tmp_path)
    assert "8 of its networks had been trained before the plan was fixed" in more.exploratory[0]
    fresh = conducted(planned(tmp_path, seeds="40:44"), tmp_path)
    assert fresh.exploratory == ()
    again = conducted(planned(tmp_path, seeds="40:44"), tmp_path, again=True)
    assert again.exploratory == ()
    assert again.path != fresh.path
    assert not set(read_runs(again.path).values()) & set(read_runs(fresh.path).values())


def test_quick_and_overrides_are_exploratory(tmp_path: Path) -> None:
    found = find(write(tmp_path, p="{1: 0.001, 2: 0.001, 4: 0.001}"))
    quick = conducted(resolve(found, is_quick=True), tmp_path)
    assert quick.exploratory == ("the quick form",)
    assert {len(arm) for arm in quick.runs.values()} == {1}
    [run] = quick.runs["slow"]
    assert run.members["seed"].to_list() == [20, 21]
    one = conducted(resolve(found, overrides={"slow.seed": "70:71", "margins.gap": "2"}), tmp_path)
    assert one.exploratory == ("overridden: slow.seed=70:71, margins.gap=2",)
    assert [finding.num_runs for finding in one.findings] == [1, 4]
    assert {finding.margin for finding in one.findings} == {2.0}
    # The same as declared is no change.
    assert resolve(found, overrides={"seed": "0,1,2,3", "margins.gap": "3.0"}).departures == ()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"widht": "16"}, "widht is no field of the study's arms: did you mean 'width'?"),
        ({"margins.gab": "1"}, "the study has no margin gab: did you mean 'gap'?"),
        ({"margins.gap": "wide"}, "margins.gap=wide is no finite number; write for example margins.gap=3"),
        ({"width": "8,16"}, "arm slow varies width: an arm holds one condition"),
        ({"fast.heads": "3"}, "arm fast: heads=3 does not divide width=8"),
    ],
)
def test_wrong_overrides_end_in_one_line(tmp_path: Path, overrides: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(find(write(tmp_path)), overrides=overrides)
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_a_quick_form_may_not_show_data_of_the_full_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 networks of its quick form are those of the full form"):
        planned(tmp_path, seeds="18:24")


def test_looks_spend_alpha_and_stop_when_decided(tmp_path: Path) -> None:
    levels = alpha_spending((2, 4), kind="pocock").level
    just, nearly = levels[0] * 0.99, levels[0] * 1.01
    early = planned(tmp_path, looks=LOOKS, num_findings="1", p=f"{{2: {just}, 4: 0.9}}")
    assert list(early.document["looks"]["levels"]) == list(levels)
    first = conducted(early, tmp_path / "early")
    assert (first.look, first.findings[0].verdict, first.findings[0].num_runs) == (1, "supported", 2)
    assert "look 1 of 2" in first.findings[0].sentence
    late = planned(tmp_path, looks=LOOKS, num_findings="1", p=f"{{2: {nearly}, 4: {levels[1] * 1.01}}}")
    waiting = conducted(late, tmp_path / "late", look=1)
    assert (waiting.look, waiting.findings[0].verdict) == (1, "undecided")
    assert {len(run.members) for runs in waiting.runs.values() for run in runs} == {2}
    last = conducted(late, tmp_path / "late")
    assert (last.look, last.findings[0].verdict, last.findings[0].num_runs) == (2, "undecided", 4)
    assert [one["look"] for one in read_analyses(last.path)] == [1, 2]
    assert last.exploratory == ()
    with pytest.raises(UserError, match="--look 3: the study declares 2 looks"):
        conducted(late, tmp_path / "late", look=3)


def test_a_look_that_was_not_declared_is_exploratory(tmp_path: Path) -> None:
    changes = {"num_findings": "1", "p": "{2: 0.9, 3: 0.9, 4: 0.001}"}
    conducted(planned(tmp_path, looks=LOOKS, **changes), tmp_path, look=1)
    more = planned(tmp_path, looks="DeclaredLooks(runs=(2, 3, 4), spending='pocock')", **changes)
    third = conducted(more, tmp_path)
    assert third.look == 3
    assert "looks.runs 2,4 -> 2,3,4" in third.exploratory[0]
    assert third.findings[0].verdict == "supported"
    assert third.findings[0].exploratory


def test_killed_in_the_second_run_and_resumed_equals_never_killed(tmp_path: Path) -> None:
    class Killed(BaseException): ...

    class Killing(Silent):
        num_runs = 0

        def started(self, start: Start) -> None:
            self.num_runs += 1

        def updated(self, pack: int, step: int) -> None:
            if self.num_runs == 2 and step == 7:
                raise Killed

    plan = planned(tmp_path)
    with pytest.raises(Killed):
        conducted(plan, tmp_path / "killed", Killing())
    [study] = (tmp_path / "killed" / "studies").iterdir()
    assert not (study / "findings.json").exists()
    killed, whole = conducted(plan, tmp_path / "killed"), conducted(plan, tmp_path / "whole")
    assert killed.findings == whole.findings
    assert killed.exploratory == whole.exploratory == ()
    for role in ("slow", "fast"):
        ours, theirs = killed.runs[role][0], whole.runs[role][0]
        assert ours.metrics.equals(theirs.metrics, null_equal=True)
    assert len(list((tmp_path / "killed" / "runs").glob("[!.]*"))) == 2


def test_an_arm_whose_networks_diverge_is_told_and_kept(tmp_path: Path) -> None:
    study = conducted(planned(tmp_path, fast="1e3, weight_decay=1e3"), tmp_path, with_pages=True)
    [run] = study.runs["fast"]
    assert set(run.members["outcome"]) == {"diverged"}
    assert len(study.findings[1].member_ids) == 4
    assert "4 diverged" in (study.path / "report.html").read_text()


def test_nothing_counts_a_seed_twice_or_cites_others(tmp_path: Path) -> None:
    pooled = 'found = [runs.cited(Finding(claim="c", test="t", estimate=None, num_runs=8, null="n", p=None, '
    pooled += 'verdict="undecided"), "slow", "fast")]\n    return found['
    text = Path(write(tmp_path).rpartition(":")[0]).read_text().replace("return found[", pooled)
    (tmp_path / "own.py").write_text(text)
    plan = resolve(find(f"{tmp_path / 'own.py'}:tiny"))
    [finding] = conducted(plan, tmp_path).findings
    assert "its 8 runs share 4 seeds, which alone are independent" in finding.note


def test_what_differs_is_named() -> None:
    old = {"margins": {"a": 1.0}, "source": "x", "arms": {"main": {"member_ids": ["p"]}}}
    assert differences(old, old) == []
    assert differences(old, {**old, "margins": {"a": 2.0}, "source": "y"}) == [
        "margins.a 1 -> 2", "the study file was edited"
    ]  # fmt: skip
    assert differences(old, {**old, "arms": {"main": {"member_ids": ["q"]}}}) == ["the plan"]


def test_delay_ranges_leave_open_what_the_records_leave_open() -> None:
    from epochal.studies.grokking_delay import median_interval, ratio_range

    assert ratio_range((90, 100), (300, 360), False) == (3.0, 4.0)
    assert ratio_range((90, 100), (1200, math.inf), False) == (0.0, math.inf)
    assert ratio_range((90, 100), (500, math.inf), True) == (0.0, 0.0)
    assert ratio_range((1200, math.inf), (1200, math.inf), False) == (0.0, 0.0)
    # The tabled order statistics for the median at 95%: 2nd and 9th of 10, none of 5.
    assert median_interval([float(n) for n in range(1, 11)]) == (2.0, 9.0)
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) == (0.0, math.inf)
    draws: NDArray[np.float64] = np.random.Generator(np.random.PCG64(0)).normal(size=(4000, 10))
    covered = [low < 0 < high for low, high in map(median_interval, draws.tolist())]
    assert 0.965 < np.mean(covered) < 0.99  # exactly 1 - 2 * 11 / 1024


def test_looks_are_for_the_declared_number_of_runs_only(tmp_path: Path) -> None:
    found = find(write(tmp_path, looks=LOOKS))
    assert resolve(found).num_looks == 2
    assert resolve(found, is_quick=True).document["looks"] is None
    assert resolve(found, overrides={"seed": "50:56"}).num_looks == 1
    with pytest.raises(UserError, match="the last look is at 4 runs, but arm slow has 5; make them equal"):
        planned(tmp_path, looks=LOOKS, seeds="0:5")


def formed(folder: Path, slow: str, fast: str, arms: str = "()") -> Path:
    text = Path(write(folder).rpartition(":")[0]).read_text()
    text = text.replace("weight_decay=1e-3):", "weight_decay=1e-3, form='both'):")
    text = text.replace('quick={"seed": "20:22"})', 'form=form, quick={"seed": "20:22"})')
    text = text.replace("arm(1e-3),", f"arm(1e-3, form='{slow}'),")
    text = text.replace("arm(1e-2)}", f"arm(1e-2, form='{fast}')}}")
    text = text.replace('options={"threshold": 0.5})', f'options={{"threshold": 0.5}}, arms={arms})')
    (folder / "own.py").write_text(text)
    return folder / "own.py"


def test_an_arm_of_one_form_is_in_no_plan_of_the_other(tmp_path: Path) -> None:
    found = find(f"{formed(tmp_path, 'full', 'quick')}:tiny")
    full, quick = resolve(found), resolve(found, is_quick=True)
    assert [batch.role for batch in full.batches] == ["slow"]
    assert [batch.role for batch in quick.batches] == ["fast"]
    assert list(full.document["arms"]) == ["slow"]
    with pytest.raises(UserError, match="the study has no quick form: all its arms have form='full'"):
        resolve(find(f"{formed(tmp_path, 'full', 'full')}:tiny"), is_quick=True)


def test_a_detector_reads_its_own_arms_only(tmp_path: Path) -> None:
    path = formed(tmp_path, "both", "both", arms='("fast",)')
    found = find(f"{path}:tiny")
    plan = resolve(found, is_quick=True)
    assert plan.document["detectors"]["memorised"]["arms"] == ["fast"]
    stored = conducted(plan, tmp_path).runs
    runs = gathered(plan.study, {role: [(run, "seed") for run in listed] for role, listed in stored.items()})
    assert list(runs["fast"].runs[0].events) == ["memorised"]
    assert list(runs["slow"].runs[0].events) == []
    formed(tmp_path, "both", "both", arms='("fats",)')
    with pytest.raises(
        UserError, match="detector memorised of the study reads arm fats: did you mean 'fast'"
    ):
        find(f"{path}:tiny")


def test_a_table_is_on_the_page_and_kept_with_the_findings(tmp_path: Path) -> None:
    table = 'ResultTable(name="t", title="What <others> found", columns=("what", "ours"), '
    table += 'rows=(("a", 1.5), ("b", None)), note="And why.")'
    path = Path(write(tmp_path).rpartition(":")[0])
    text = path.read_text().replace("return found[:2]", f"return [*found, {table}]")
    path.write_text(text.replace("import Arm", "import ResultTable, Arm"))
    study = conducted(resolve(find(f"{path}:tiny"), is_quick=True), tmp_path, with_pages=True)
    [analysis] = read_analyses(study.path)
    rows = [{"what": "a", "ours": 1.5}, {"what": "b", "ours": None}]
    assert analysis["tables"] == [
        {"name": "t", "title": "What <others> found", "rows": rows, "note": "And why."}
    ]
    page = (study.path / "report.html").read_text()
    assert "<h2>What &lt;others&gt; found</h2>" in page
    assert '<td>a</td><td class="n">1.5</td>' in page
    assert "And why." in page
    with pytest.raises(ValueError, match="table t: a row has 1 entries under 2 columns"):
        ResultTable(name="t", title="", columns=("a", "b"), rows=(("a",),))


def test_many_findings_fold_their_sentences_and_keep_units_and_power_in_the_table(tmp_path: Path) -> None:
    def page_with(num: int) -> str:
        folder = tmp_path / str(num)
        folder.mkdir()
        path = Path(write(folder).rpartition(":")[0])
        many = "return [replace(found[0], claim=f'c{k}', unit='updates <later>', verdict='undecided', "
        many += f"runs_needed=17) for k in range({num})]"
        text = path.read_text().replace("return found[:2]", many)
        path.write_text("from dataclasses import replace\n" + text)
        study = conducted(resolve(find(f"{path}:tiny"), is_quick=True), folder, with_pages=True)
        return (study.path / "report.html").read_text()

    few, many = page_with(12), page_with(13)
    assert "sentences</summary>" not in few and "<summary>As 13 sentences</summary>" in many
    for page, num in ((few, 12), (many, 13)):
        assert page.count('<p class="sentence undecided">') == num
        # An estimate and a margin each.
        assert page.count('<div class="soft unit">updates &lt;later&gt;</div>') == 2 * num
        assert page.count("about 17 runs would decide with power 0.9</div>") == num


def test_a_study_of_several_files_is_known_by_all_of_them() -> None:
    found = find("modular-grokking")
    assert found.path.is_dir()
    for file in found.path.glob("*.py"):
        assert file.read_bytes() in found.source
