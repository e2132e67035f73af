"""Where everything in a run directory lies."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunPaths:
    """Names of the parts of one run; says nothing about which of them exist."""

    run: Path

    @property
    def spec(self) -> Path:
        return self.run / "spec.json"

    @property
    def environment(self) -> Path:
        return self.run / "environment.json"

    @property
    def schema(self) -> Path:
        return self.run / "schema.json"

    @property
    def members(self) -> Path:
        return self.run / "members.parquet"

    def records(self, pack: int) -> Path:
        return self.run / "metrics" / f"pack-{pack}.jsonl"

    def all_records(self) -> list[Path]:
        """The record files that exist, by pack."""
        found = (self.run / "metrics").glob("pack-*.jsonl")
        return sorted(found, key=lambda path: int(path.stem.removeprefix("pack-")))

    @property
    def metrics(self) -> Path:
        return self.run / "metrics.parquet"

    @property
    def resume(self) -> Path:
        return self.run / "resume"

    @property
    def snapshots(self) -> Path:
        return self.run / "snapshots"

    @property
    def code(self) -> Path:
        """Copies of a user's own code that the run executes."""
        return self.run / "code"

    @property
    def probes(self) -> Path:
        return self.run / "probes"

    @property
    def events(self) -> Path:
        return self.run / "events.parquet"

    @property
    def findings(self) -> Path:
        return self.run / "findings.json"

    @property
    def log(self) -> Path:
        return self.run / "log.txt"

    @property
    def output(self) -> Path:
        """What a detached process printed."""
        return self.run / "output.txt"

    @property
    def report(self) -> Path:
        return self.run / "report.html"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def done(self) -> Path:
        return self.run / "DONE"
