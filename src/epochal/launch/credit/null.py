"""The null of credit for a stored run: each network's snapshots as one family, with the feedback it had."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epochal.analysis.nulls import Joint, Published, Site, joint, null_of, published, redraw
from epochal.core.values.errors import UserError
from epochal.engine.population import initial_population
from epochal.engine.program import Program
from epochal.engine.view import LiveView
from epochal.experiments.own_code import explained
from epochal.experiments.restore import member_spec, program_of
from epochal.store.run import Run
from epochal.store.snapshots import find_snapshot, has_member

Progress = Callable[[int, int], None]
Array = NDArray[np.float64]
JOIN = "\n"


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """One network. ``joint`` is over sites and checkpoints, whose numbers are steps.

    ``published`` is the published control per step, where the network is a stream of one width under direct
    feedback: it compares the credit with the gradient at the *input* of each block, ``joint`` at its output.
    """

    member: int
    rule: str
    seed: int
    num_samples: int
    joint: Joint
    published: Mapping[int, Published]


def without_null(run: Run, members: Sequence[int]) -> dict[int, str]:
    """Member to why its rule has no null; for all others there is one."""
    reasons = {}
    for member in members:
        try:
            null_of(str(member_spec(run, member).rule))
        except UserError as error:
            reasons[member] = str(error)
    return reasons


def judge(
    run: Run,
    member: int,
    *,
    steps: Sequence[int] | None = None,
    samples: int | None = None,
    draws: int = 999,
    seed: int = 0,
    alpha: float = 0.05,
    progress: Progress = lambda done, of: None,
) -> Judged:
    """The credit of one member against feedback it never saw, at its snapshots of ``steps`` (None: all).

    Errors and gradients are those of the first ``samples`` validation examples (None: as many as the run's
    probes had), in evaluation mode. The feedback of DFA is drawn afresh, with the sharing of training; that
    of FA, DRTP and PEPITA is drawn again as training draws it, and the credit computed again with it.

    Raises:
        UserError: the rule has no null, no snapshot, too few draws for the level.
    """
    spec = member_spec(run, member)
    kind = null_of(str(spec.rule))
    program = program_of(run, (member,), executor="loop")
    program = program if samples is None else replace(program, probe_samples=samples)
    views = _views(run, program, member, steps)
    if kind == "redraw":
        family = _redrawn(program, views, str(spec.rule), draws, seed, alpha, progress)
        controls: dict[int, Published] = {}
    else:
        family = _fresh(views, str(spec.rule), draws, seed, alpha)
        controls = {
            step: _control(view, draws, seed, alpha) for step, view in views.items() if _is_stream(view)
        }
    return Judged(
        member=member,
        rule=str(spec.rule),
        seed=int(spec.seed),
        num_samples=len(next(iter(views.values())).passage().batch.targets),
        joint=family,
        published=controls,
    )


def _views(run: Run, program: Program, member: int, steps: Sequence[int] | None) -> dict[int, LiveView]:
    folder, views = run.paths.snapshots, dict[int, LiveView]()
    start = initial_population(program)
    fields = {name: values[0] for name, values in program.fields.items()}
    for step in run.snapshots if steps is None else steps:
        if steps is None and not has_member(folder, member, step):
            continue
        stored = find_snapshot(folder, member, step)
        if member in stored.meta.get("diverged", ()):
            continue
        row = stored.members.index(member)
        tensors = {
            name: torch.from_numpy(array[row]).to(program.device) for name, array in stored.tensors.items()
        }
        learned = {
            name.removeprefix("memory."): value
            for name, value in tensors.items()
            if name.startswith("memory.")
        }
        views[step] = LiveView(
            program,
            step=step,
            flat=tensors["params"],
            buffers=tensors["buffers"],
            initial=start.initial[0],
            fields=fields,
            memory=learned or {name: value[0] for name, value in start.memory.items()},
        )
    if not views:
        raise UserError(
            f"member {member} of {run.name} has no snapshot to judge; train it with snapshot_every=..."
        )
    return views


def _fresh(views: Mapping[int, LiveView], rule: str, draws: int, seed: int, alpha: float) -> Joint:
    """Every site with feedback, at every checkpoint; equal matrices are one that is shared."""
    memory = next(iter(views.values())).memory
    distinct: list[Tensor] = []
    index: dict[str, int] = {}
    for site, feedback in memory.items():
        same = [
            i for i, one in enumerate(distinct) if one.shape == feedback.shape and torch.equal(one, feedback)
        ]
        index[site] = same[0] if same else len(distinct)
        distinct += [] if same else [feedback]
    with explained():
        sites = [
            Site(
                name=site,
                errors=_rows(view.passage().errors),
                gradients=_rows(view.passage().gradients[site]),
                feedback=index[site],
                checkpoint=step,
            )
            for step, view in views.items()
            for site in memory
        ]
    matrices = [one.flatten(0, -2).double().cpu().numpy() for one in distinct]
    return joint(sites, matrices, draws=draws, seed=seed, alpha=alpha, rule=rule)


def _redrawn(
    program: Program,
    views: Mapping[int, LiveView],
    rule: str,
    draws: int,
    seed: int,
    alpha: float,
    progress: Progress,
) -> Joint:
    """One draw of feedback serves all checkpoints, as in training."""
    done = 0

    def credit(view: LiveView) -> Mapping[str, Tensor]:
        with explained():
            return view.credit(view.passage().batch)

    def named(told: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Array]:
        return {f"{site}{JOIN}{step}": _rows(v) for step, sites in told.items() for site, v in sites.items()}

    def recompute(drawn: int) -> dict[str, Array]:
        nonlocal done
        memory = _memory_of_seed(program, drawn)
        told = {step: credit(_with_memory(view, memory)) for step, view in views.items()}
        done += 1
        progress(done, draws)
        return named(told)

    own = named({step: credit(view) for step, view in views.items()})
    slopes = named({step: view.passage().gradients for step, view in views.items()})
    found = redraw(
        own, {name: slopes[name] for name in own}, recompute, draws=draws, seed=seed, alpha=alpha, rule=rule
    )
    sites = []
    for each in found.sites:
        name, _, step = each.name.partition(JOIN)
        sites.append(replace(each, name=name, checkpoint=int(step)))
    return replace(found, sites=tuple(sites))


def _with_memory(view: LiveView, memory: Mapping[str, Tensor]) -> LiveView:
    """The same network with other feedback; what it has computed already is the same and kept."""
    other = copy(view)
    other.memory = memory
    return other


def _memory_of_seed(program: Program, seed: int) -> dict[str, Tensor]:
    """What the rule draws for the same initial network from another seed of the stream ``feedback``."""
    seeds = torch.full_like(program.fields["feedback_seed"], seed)
    start = initial_population(replace(program, fields={**program.fields, "feedback_seed": seeds}))
    return {name: value[0] for name, value in start.memory.items()}


def _is_stream(view: LiveView) -> bool:
    """Two sites or more, all of one width and with feedback: then the published layers have a meaning."""
    shapes = {tuple(h.shape) for h in view.passage().activations.values()}
    sites = list(view.passage().activations)
    return len(shapes) == 1 and len(sites) >= 2 and set(sites) == set(view.memory)


def _control(view: LiveView, draws: int, seed: int, alpha: float) -> Published:
    """Layers are the sites from the embedding on; the feedback of block l is that of site l + 1."""
    passage = view.passage()
    return published(
        _rows(passage.errors),
        [_rows(slope) for slope in passage.gradients.values()],
        [view.memory[site].flatten(0, -2).double().cpu().numpy() for site in list(passage.gradients)[1:]],
        draws=draws,
        seed=seed,
        alpha=alpha,
    )


def _rows(values: Tensor) -> Array:
    rows: Array = values.detach().flatten(1).double().cpu().numpy()
    return rows
