"""What every experiment's spec has: seeds, optimiser, length, records, execution.

An experiment adds its own fields in its ``spec.py``. A spec is the complete description of *one*
member; a population is a list of them (see ``request``).
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Lt
from pydantic import model_validator

from epochal.core.values.batches import LastBatch, examples_per_update
from epochal.core.values.executor import Executor
from epochal.core.values.fields import execute, is_identity, kind_of, observe, static, vary
from epochal.core.values.nearest import did_you_mean
from epochal.core.values.optimization import Optimization
from epochal.core.values.probe_list import name_of, problem_of
from epochal.core.values.schedule import Schedule

LARGEST_SEED = 2**63 - 1
_SEED: dict[str, Any] = {"ge": 0, "le": LARGEST_SEED}
StopMetric = Literal["none", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
PROBES_MEANING = (
    "what to measure: a,b, or +a,-b besides and without; NAME@LABEL for other options, ./FILE.py:NAME"
)
_STREAM = "seed of this stream alone; none = the member's seed"


class Spec(Optimization):
    """One member, completely described. Immutable; unknown fields are refused."""

    batch_size: Annotated[int, Ge(1)] | Annotated[float, Gt(0), Lt(1)] | Literal["full", "auto"] = static(
        "full",
        "examples per update: a number, a fraction of the training set, full, auto (512, at most half of it)",
    )
    last_batch: LastBatch = static(
        "drop", "what becomes of an epoch's remainder, too small for a batch; keep updates on it all the same"
    )
    precision: Literal["float32", "tf32", "bfloat16", "float64"] = static(
        "float32", "arithmetic; bfloat16 and tf32 keep parameters in float32, tf32 needs CUDA to differ"
    )

    max_steps: int = static(10_000, "updates to train for", ge=1, le=10**9, identity=False)
    stop_metric: StopMetric = static("none", "ends a member's training early, by evaluations of its own")
    stop_at: float | None = static(None, "stops once stop_metric is as good as this")
    stop_patience: int = static(0, "stops after so many evaluations without an improvement; 0 = never", ge=0)
    stop_every: Schedule = static(Schedule(every=100), "when stop_metric is evaluated")
    record_every: Schedule = observe(
        Schedule(every=100, per_decade=20),
        "when to measure: every k steps, kep epochs, log:n per decade, or a sum: k+log:n",
    )
    probes: tuple[str, ...] = observe(
        ("loss", "accuracy", "weight_norm", "gradient_norm"),
        PROBES_MEANING,
    )
    probe_every: dict[str, Schedule] = observe({}, "schedules of single probes: probe_every.NAME=200")
    probe_options: dict[str, Any] = observe({}, "options of probes: probe_options.NAME.OPTION=VALUE")
    snapshot_every: Schedule = observe(Schedule(per_decade=3), "when to store all parameters")
    snapshot_optimizer: bool = observe(False, "also store the optimiser in snapshots, to branch off exactly")
    checkpoint: str | None = execute(
        None, "RUN@step to go on from, with that run's fields where none is given"
    )
    checkpoint_id: str = static("", "which states checkpoint=RUN@step means; filled in")
    checkpoint_minutes: float = execute(1.0, "wall time between resume states, in minutes", gt=0)
    device: str = execute("auto", "auto, cpu, cuda, cuda:K or mps")
    threads: int = execute(0, "threads of the CPU; 0 = all cores", ge=0, le=1024)
    executor: Executor | Literal["auto"] = execute(
        "auto", "how a pack's members train: vmap (batched), loop (in turn), processes; auto = as measured"
    )
    pack_limit: int = execute(0, "most members of a pack; 0 = as many as the caches hold, at least 8", ge=0)
    compile: bool = execute(False, "compile the forward and backward pass (takes minutes; backprop only)")
    wandb: Literal["disabled", "offline", "online"] = execute(
        "disabled", "mirror every record, event and final figure to Weights & Biases"
    )
    wandb_project: str = execute("epochal", "project of the mirror", min_length=1, max_length=128)
    code: dict[str, str] = execute({}, "files of own code by their hash; filled in")

    split_seed: int | None = vary(None, f"train/validation split: {_STREAM}", **_SEED)
    init_seed: int | None = vary(None, f"initial parameters: {_STREAM}", **_SEED)
    order_seed: int | None = vary(None, f"order of batches: {_STREAM}", **_SEED)
    feedback_seed: int | None = vary(None, f"feedback of rules that draw one: {_STREAM}", **_SEED)
    seed: int = vary(0, "seed of every stream that is not set apart", **_SEED)

    @model_validator(mode="after")
    def _execution_and_observation(self) -> Self:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", self.device):
            raise ValueError(f"device={self.device} is not one of auto, cpu, cuda, cuda:K, mps")
        if bad := sorted(set(self.wandb_project) & set("/\\#?%:")):
            raise ValueError(f"wandb_project={self.wandb_project} holds {bad[0]!r}, which W&B does not allow")
        if self.stop_metric != "none" and self.stop_at is None and not self.stop_patience:
            raise ValueError(f"stop_metric={self.stop_metric} never stops: give stop_at or stop_patience")
        if self.stop_metric == "none" and (self.stop_at is not None or self.stop_patience):
            raise ValueError("stop_at and stop_patience need stop_metric, such as stop_metric=val_accuracy")
        if problem := problem_of(self.probes):
            raise ValueError(problem)
        names = self.probe_names
        for name in self.probe_every:
            if name not in names:
                raise ValueError(f"probe_every.{name} schedules a probe that {_lacks(name, names)}")
        for setting in self.probe_options:
            name, dot, _ = setting.partition(".")
            if name not in names:
                raise ValueError(f"probe_options.{setting} is of a probe that {_lacks(name, names)}")
            if not dot:
                raise ValueError(f"probe_options.{name} needs an option: probe_options.{name}.OPTION=VALUE")
        return self

    @property
    def probe_names(self) -> tuple[str, ...]:
        """What ``probe_every`` and ``probe_options`` call the probes: ``NAME`` or ``NAME@LABEL``."""
        return tuple(name_of(entry) for entry in self.probes)

    def options_of(self, probe: str) -> dict[str, object]:
        """The options that are set for the probe of this name."""
        prefix = f"{probe}."
        given = {n: value for n, value in self.probe_options.items() if n.startswith(prefix)}
        return {name.removeprefix(prefix): value for name, value in given.items()}

    def identity(self) -> dict[str, object]:
        """The fields that shape training and differ from their defaults: what ``member_id`` hashes.

        Seeds of single streams count where they differ from ``seed``. Defaults are left out so that a new
        field changes no identity; a changed default does, through ``SEMANTICS``.
        """
        fields = self.model_dump(mode="json")
        neutral = type(self)().model_dump(mode="json")
        neutral |= {name: self.seed for name in fields if name.endswith("_seed")}
        resolved = {
            name: self.seed if value is None and name.endswith("_seed") else value
            for name, value in fields.items()
        }
        return {
            name: resolved[name]
            for name, field in type(self).model_fields.items()
            if is_identity(field) and (name == "seed" or resolved[name] != neutral[name])
        }

    def meaningless(self) -> Mapping[str, str]:
        """Fields that nothing reads beside what the others are; why, and what to do, as the end of a line
        that begins with ``FIELD=VALUE``."""
        return {}

    def stream_seed(self, stream: str) -> int:
        """The seed of a named stream: its own field ``<stream>_seed`` if set, else ``seed``."""
        own = getattr(self, f"{stream}_seed", None)
        return self.seed if own is None else int(own)

    @classmethod
    def field_order(cls) -> list[str]:
        """Field names as a reader wants them: the experiment's own first, the seed last."""
        names = list(cls.model_fields)
        own = [name for name in names if name in cls.__annotations__ and name not in Spec.model_fields]
        return [*own, *(name for name in names if name not in own)]

    @classmethod
    def of_kind(cls, *kinds: str) -> list[str]:
        """Names of the fields of these kinds, in the order of declaration."""
        return [name for name, field in cls.model_fields.items() if kind_of(field) in kinds]

    def examples_per_update(self, train_size: int) -> int | None:
        """Of a training set of this size; None for all of it.

        Raises:
            ValueError: the batch is larger than the set.
        """
        return examples_per_update(self.batch_size, train_size)

    def pack_key(self) -> tuple[object, ...]:
        """Members with equal keys can train in one program: equal static fields and equal data sizes."""
        return (*(getattr(self, name) for name in self.of_kind("static")), self.active_parts())


def _lacks(name: str, names: tuple[str, ...]) -> str:
    return f"probes={','.join(names)} lacks{did_you_mean(name, names)}"
