"""From a spec's optimisation fields to objective, rule, transforms and learning rate."""

import inspect
from importlib import import_module

from epochal.core.tensors.layout import Layout
from epochal.core.tensors.objective import Objective
from epochal.core.tensors.rule import Rule
from epochal.core.tensors.task import Task
from epochal.core.tensors.transform import Transform
from epochal.core.values.errors import UserError
from epochal.core.values.optimization import Optimization
from epochal.core.values.source import is_own
from epochal.core.values.spec import Spec
from epochal.engine.program import LearningRate
from epochal.experiments.adversary import trained_against
from epochal.experiments.own_code import load_rule
from epochal.optim.chain import chain
from epochal.optim.clip import Clip
from epochal.optim.decay import CoupledDecay, DecayToInitial, DecayToZero, JiggledDecay
from epochal.optim.grokfast import GrokfastEMA, GrokfastMA
from epochal.optim.noise import UpdateNoise
from epochal.optim.norm import ConstantNorm
from epochal.optim.orthogonal import OrthogonalGradient
from epochal.optim.schedule import cosine, one_later, schedule, step_decay, warm_up
from epochal.optim.scope import groups
from epochal.rules.wrappers.random_targets import RandomTargets
from epochal.rules.wrappers.sam import SAM
from epochal.rules.wrappers.weight_noise import WeightNoise


def objective_of(spec: Optimization, task: Task) -> Objective:
    """The function of the name of its file in ``objectives``, or the class ``objective`` there.

    Raises:
        UserError: it compares environments or groups and the task has none.
    """
    module = import_module(f"epochal.objectives.{spec.objective}")
    kind = getattr(module, "objective", None)
    found = getattr(module, spec.objective) if kind is None else kind(**_compared(spec, task))
    assert isinstance(found, Objective), f"{spec.objective}.py has no objective of its name"
    return found


def _compared(spec: Optimization, task: Task) -> dict[str, object]:
    factor = spec.compared()
    count = getattr(task, f"num_{factor}s", 0)
    if not count:
        raise UserError(
            f"objective={spec.objective} compares {factor}s, of which these examples have none: images have "
            "them (cue=patch); or give objective=cross_entropy"
        )
    return {"factor": factor, "count": count}


def rule_of(spec: Spec, num_classes: int, task: Task) -> Rule:
    """The rule by name or a user's own; on random targets, on adversarial examples, at noisy weights, at the
    worst point nearby.
    """
    rule = load_rule(spec.rule, spec.code) if is_own(spec.rule) else _named_rule(spec)
    rule, active = trained_against(spec, task, rule), spec.active_parts()
    if spec.random_targets:
        rule = RandomTargets(rule, num_classes)
    if "weight_noise" in active:
        rule = WeightNoise(rule)
    return SAM(rule) if "sam_rho" in active else rule


def _named_rule(spec: Spec) -> Rule:
    """The class ``rule`` of ``rules/NAME.py``, with those of the spec's fields that its signature names."""
    kind = import_module(f"epochal.rules.{spec.rule}").rule
    names = inspect.signature(kind).parameters
    made: Rule = kind(**{name: getattr(spec, name) for name in type(spec).model_fields if name in names})
    return made


def transform_of(spec: Optimization, layout: Layout) -> Transform:
    """The links that ``spec.chain()`` names, in its order."""
    return chain(*(_link(name, spec, layout) for name in spec.chain()))


def learning_rate_of(spec: Optimization) -> LearningRate:
    """Warm-up, cosine annealing and drops; each is 1 where its field says 0."""
    if spec.warmup_from_zero:
        return schedule(one_later(warm_up), one_later(cosine), step_decay)
    return schedule(warm_up, cosine, step_decay)


def _link(name: str, spec: Optimization, layout: Layout) -> Transform:
    match name:
        case "orthogonal_gradient":
            return OrthogonalGradient()
        case "grokfast_ema":
            return GrokfastEMA()
        case "grokfast_ma":
            return GrokfastMA(spec.grokfast_window)
        case "clip":
            groups(layout, spec.gradient_clip_scope)  # so that a scope without groups is refused here
            return Clip(spec.gradient_clip_scope)
        case "update_noise":
            return UpdateNoise()
        case "decay_coupled":
            return CoupledDecay()
        case "decay_to_zero":
            return DecayToZero()
        case "decay_to_initial":
            return DecayToInitial()
        case "decay_jiggled":
            return JiggledDecay()
        case "constant_norm":
            return ConstantNorm("member" if spec.constant_norm == "member" else "tensor")
        case _:
            made: Transform = import_module(f"epochal.optim.optimizers.{name}").optimizer(spec, layout)
            return made
