"""Accuracy on the test split, once, of what training ended with."""

from epochal.experiments.restore import program_of
from epochal.launch.measuring import measure_snapshots, measurement
from epochal.store.run import Run

COLUMN = "test_accuracy"


def test_accuracy(run: Run) -> dict[int, float]:
    """By member, at its last snapshot; kept among the tables of `epochal probe`, so that it is measured once.

    Members that diverged have none; nor has any where the images come without a test split, or where
    validation already looks at it.
    """
    members = [m for m, ended in run.members.select("member", "outcome").iter_rows() if ended != "diverged"]
    if not members or run.environment.get("val_source") == "test":
        return {}
    if not program_of(run, members[:1], executor=run.spec["executors"][0]).task.size("test"):
        return {}
    wanted = measurement(run, "accuracy", {"splits": "test"})
    found: dict[int, float] = {}
    last = {member: run.last_snapshot(member) for member in members}
    for step in sorted(set(last.values())):
        table = measure_snapshots(run, wanted, members=[m for m in members if last[m] == step], steps=[step])
        found |= dict(table.select("member", COLUMN).iter_rows())
    return found
