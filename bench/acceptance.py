"""Published steps of generalisation, repeated with several seeds: arms of the study modular-grokking.

    ./do bench acceptance                        # the arms named below: hours on two cores
    ./do bench acceptance --arms miml_80         # some of them
    ./do bench acceptance --runs FOLDER          # where runs are kept: what is there is not trained again

Each arm is the study's own, with the published network, numerics and conditions; a run of which only a step
is asked stops at 99% validation accuracy. Adam with the full batch has one seed here (the study has three).
The table has the rows of the study's page for these arms: agrees is a median over seeds within a factor of
two.
"""

import argparse
from pathlib import Path
from typing import Any

import epochal
from epochal.core.values.study_runs import StudyRuns
from epochal.launch.studies.runs import gathered
from epochal.store.run import Run
from epochal.studies.modular_grokking import modular_grokking
from epochal.studies.modular_grokking.against_published import COLUMNS, row_of
from epochal.studies.modular_grokking.arms import FEW, FULL, RECORDS
from epochal.studies.modular_grokking.published import ROWS

RESULTS = Path(__file__).parent / "results" / "acceptance.md"
ARMS = (
    "miml_80", "miml_70", "miml_50", "miml_decay_1", "miml_decay_03", "nanda_70", "nanda_50", "nanda_30",
    "miml_sgd", "miml_adam_full",
)  # fmt: skip
SHORTER: dict[str, dict[str, object]] = {
    "miml_adam_full": {"seed": "100", "record_every": "log:116"},
    "miml_sgd": {"max_steps": 5_000},
    "miml_decay_1": {"seed": FEW},
    "nanda_70": {"max_steps": 600},
    "nanda_50": {"max_steps": 2_000},
    "nanda_30": {
        "seed": FEW, "max_steps": 16_000, "probes": "loss,accuracy", "stop_metric": "val_loss",
        "stop_at": 0.05, "stop_every": RECORDS,
    },
}  # fmt: skip
"""Where nothing is to happen (SGD's published loss is flat after a hundred steps), where the study has more
seeds than a median needs, and where a run without a stop goes on after twice the published step."""


def trained(role: str, runs: Path) -> Run:
    """The run of an arm; one that is there is opened."""
    arm = FULL[role]
    settings: dict[str, Any] = {**arm.settings, **SHORTER.get(role, {})}
    return epochal.run(arm.experiment, preset=arm.preset, runs=runs, progress=False, **settings)


def lines_of(runs: StudyRuns) -> list[str]:
    rows = [row_of(runs, row) for row in ROWS if row.arm in runs.arms]
    seeds = {row.what: len(runs[row.arm]) for row in ROWS if row.arm in runs.arms}
    return [
        f"| {' | '.join(COLUMNS[:-1])} | seeds |",
        "|---" * len(COLUMNS) + "|",
        *(f"| {' | '.join(str(entry) for entry in row[:-1])} | {seeds[str(row[0])]} |" for row in rows),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--write", action="store_true", help="replace the table in bench/results")
    options = parser.parse_args()
    stored: dict[str, list[tuple[Run, str]]] = {}
    for role in options.arms:
        stored[role] = [(trained(role, options.runs), "seed")]
        print(*lines_of(gathered(modular_grokking, {role: stored[role]}))[2:], sep="\n", flush=True)
    lines = [
        "# Published steps and ours",
        "",
        "Written by `bench/acceptance.py`. Steps are completed updates; an interval is from the earliest",
        "seed to the latest.",
        "",
        *lines_of(gathered(modular_grokking, stored)),
    ]
    print("\n".join(lines))
    if options.write:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
