"""How long it takes to list, filter and load 1,000 runs: ``./do bench listing``, or with ``--runs N``.

Makes N run directories of 4 members and 50 records each in a temporary folder, through the store as a run
does, and times what the command line and Python do with them, in one process. The files were just written and
lie in the page cache; nothing else is kept from one turn to the next. Imports are timed in fresh processes.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from epochal.experiments.catalog import find
from epochal.listings import runs as list_rows
from epochal.store.catalog import Filter, find_run, list_runs
from epochal.store.directory import RunDirectory
from epochal.store.many import load_many

MEMBERS, RECORDS, REPEATS = 4, 50, 5
COLUMNS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "weight_norm", "gradient_norm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    num_runs = parser.parse_args().runs
    for statement in ("import epochal.store", "import epochal.cli", "import epochal"):
        seconds = [
            elapsed(lambda s=statement: subprocess.run([sys.executable, "-c", s], check=True))
            for _ in range(3)
        ]  # type: ignore[misc]
        print(f"{statement + ', fresh process':<58} {statistics.median(seconds):7.3f} s")
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        made = elapsed(lambda: make(runs, num_runs))
        print(f"{f'making {num_runs} runs':<58} {made:7.3f} s")
        half = Filter(fields={"weight_decay": "0:1:0.002"}, outcome="finished")
        jobs: dict[str, Callable[[], object]] = {
            "ls: every run, with its size and outcome": lambda: list_rows(runs, Filter()),
            "ls weight_decay=0:1:0.002 --outcome finished": lambda: list_rows(runs, half),
            "ls experiment=images (none)": lambda: list_rows(runs, Filter(fields={"experiment": "images"})),
            "find_run by its hash": lambda: find_run(list_runs(runs)["name"][-1][-8:], runs),
            "load_many: the lazy table alone": lambda: load_many(runs),
            "load_many, one column, collected": lambda: load_many(runs).select("val_accuracy").collect(),
            "load_many, median by field, collected": lambda: by_field(runs),
            "load_many, everything, collected": lambda: load_many(runs).collect(),
        }
        for name, job in jobs.items():
            first, *later = (elapsed(job) for _ in range(1 + REPEATS))
            spread = f"(then {min(later):.3f} to {max(later):.3f})"
            print(f"{name:<58} {first:7.3f} s {spread}")


def by_field(runs: Path) -> pl.DataFrame:
    table = load_many(runs)
    last = table.filter(pl.col("step") == pl.col("step").max().over("run"))
    return last.group_by("weight_decay").agg(pl.col("val_accuracy").median()).collect()


def make(runs: Path, num_runs: int) -> None:
    for number in range(num_runs):
        settings = {"weight_decay": number / num_runs, "seed": f"0:{MEMBERS}", "max_steps": RECORDS * 10}
        request = find("algorithmic").request(settings)
        spec = {
            "experiment": "algorithmic", "preset": None, "command": request.command, "run_id": request.run_id,
            "fields": request.fields(), "varied": list(request.varied), "max_steps": request.spec.max_steps,
            "defaults": type(request.spec)().model_dump(mode="json"),
        }  # fmt: skip
        members = pl.DataFrame(
            {"member": range(MEMBERS), "member_id": request.member_ids, "seed": range(MEMBERS)}
        ).with_columns(outcome=pl.lit("finished"), outcome_step=pl.lit(RECORDS * 10))
        schema = {"member": "int64", "step": "int64", "epoch": "float64", **dict.fromkeys(COLUMNS, "float64")}
        environment = {"started_utc": f"2025-01-01T{number // 60 % 24:02}:{number % 60:02}:00+00:00"}
        made = RunDirectory.create(
            runs, request.name, spec=spec, environment=environment, members=members, schema=schema
        )
        with made:
            with made.record_writer(0) as writer:
                writer.append(
                    {"member": m, "step": 10 * t, "epoch": 10.0 * t}
                    | {c: math.sin(t + m + k) for k, c in enumerate(COLUMNS)}
                    for t in range(RECORDS)
                    for m in range(MEMBERS)
                )
            made.write_events([])
            made.finish()


def elapsed(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
