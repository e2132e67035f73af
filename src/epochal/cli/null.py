"""The command that judges credit against feedback the network never saw: null."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epochal.cli.app import JsonOption, RunsOption, app, print_table
from epochal.cli.measure import numbers_of
from epochal.core.values.errors import UserError

if TYPE_CHECKING:
    from epochal.analysis.nulls import Joint, Published
    from epochal.launch.credit.null import Judged

FAR = 0.01
"""Between a checkpoint's test accuracy and ours: more means other images, other pixels or another network."""


@app.command(name="null")
def null_of_credit(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN] [FIELD=VALUE]...",
            help="A run; or with --ckpt the images: data, data.path, normalization, residual.",
        ),
    ] = None,
    ckpt: Annotated[
        Path | None,
        typer.Option("--ckpt", metavar="FILE.pt", help="A file with state_dict, Bs, test_acc instead."),
    ] = None,
    members: Annotated[str, typer.Option("--members", metavar="0:5", help="Which; default all.")] = "",
    steps: Annotated[
        str, typer.Option("--steps", metavar="100,200", help="Which snapshots; default all.")
    ] = "",
    samples: Annotated[
        int | None, typer.Option("--samples", min=2, help="Examples; default those of the run's probes.")
    ] = None,
    draws: Annotated[int, typer.Option("--draws", help="Fresh sets of feedback.")] = 999,
    alpha: Annotated[float, typer.Option("--alpha", help="The level of the tests.")] = 0.05,
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a run's credit against feedback it never saw."""
    names = [word for word in words or () if "=" not in word]
    fields = _fields([word for word in words or () if "=" in word])
    if len(names) + (ckpt is not None) != 1:
        raise UserError("give one run, or --ckpt FILE.pt with data=NAME: epochal null RUN")
    if ckpt is not None:
        if members or steps:
            raise UserError("--members and --steps are of runs; a checkpoint file is one network")
        _of_file(ckpt, fields, samples, draws, alpha, as_json)
        return
    if fields:
        raise UserError(f"{next(iter(fields))}=... goes with --ckpt; a run knows its own")
    _of_run(
        names[0],
        numbers_of("members", members),
        numbers_of("steps", steps),
        {"samples": samples, "draws": draws, "alpha": alpha},
        runs,
        as_json,
    )


def _of_run(
    name: str,
    members: list[int] | None,
    steps: list[int] | None,
    options: dict[str, Any],
    runs: Path | None,
    as_json: bool,
) -> None:
    from epochal.api import load, progress_bar, runs_folder
    from epochal.launch.credit.null import judge, without_null
    from epochal.launch.credit.null_table import keep
    from epochal.store.catalog import find_run

    run = load(find_run(name, runs_folder(runs)))
    asked = list(range(len(run.members))) if members is None else members
    reasons = without_null(run, asked)
    if len(reasons) == len(asked):
        raise UserError(next(iter(reasons.values()), f"{run.name} has no members"))
    judged: list[Judged] = []
    for member in asked:
        if member in reasons:
            continue
        with progress_bar(f"member {member}") as advance:
            judged.append(judge(run, member, steps=steps, progress=advance, **options))
    table = keep(run, judged, options)
    if as_json:
        rows = [
            {"member": one.member, "rule": one.rule, **row} for one in judged for row in site_rows(one.joint)
        ]
        print_table([_plain(row) for row in rows], True)
        return
    for one in judged:
        typer.echo(f"member {one.member}: rule={one.rule} seed={one.seed}, {one.num_samples} examples")
        print_table([_short(row) for row in site_rows(one.joint)], False)
        typer.echo(_told(one.joint, alpha=options["alpha"]))
        if one.published:
            typer.echo("as published, credit against the gradient at the input of each block:")
            print_table([_short(published_row(step, p)) for step, p in one.published.items()], False)
        typer.echo()
    for member, reason in reasons.items():
        typer.echo(f"member {member}: no null: {reason}")
    typer.echo(f"table   {table}")


def _of_file(
    path: Path, fields: dict[str, str], samples: int | None, draws: int, alpha: float, as_json: bool
) -> None:
    if "data" not in fields:
        raise UserError("--ckpt needs the images the network was trained on: data=cifar10 data.path=DIR")
    residual = fields.get("residual", "true")
    normalization = fields.get("normalization", "standard")
    if residual not in ("true", "false"):
        raise UserError(f"residual={residual} is neither true nor false")
    normalization = "raw" if normalization == "none" else normalization
    if normalization not in ("standard", "raw", "compat"):
        raise UserError(f"normalization={normalization} is none of standard, raw, compat")
    from epochal.launch.credit.checkpoint import SAMPLES, judge_checkpoint, read_checkpoint

    checkpoint = read_checkpoint(path, residual=residual == "true")
    found = judge_checkpoint(
        checkpoint,
        fields["data"],
        fields.get("data.path"),
        normalization=normalization,  # type: ignore[arg-type]
        samples=samples or SAMPLES,
        draws=draws,
        alpha=alpha,
    )
    gap = abs(found.accuracy - checkpoint.test_accuracy)
    said = f"accuracy {found.accuracy:.4f} on {found.num_images} images ({found.split}); the file says "
    said += f"{checkpoint.test_accuracy:.4f}"
    if not gap <= FAR:
        said += ": other images, pixels or network; try residual=false or normalization=raw"
    typer.echo(said, err=as_json)
    if as_json:
        print_table([_plain(row) for row in site_rows(found.published.joint)], True)
        return
    print_table([_short(row) for row in site_rows(found.published.joint)], False)
    for line in found.published.lines():
        typer.echo(line)


def site_rows(joint: "Joint") -> list[dict[str, Any]]:
    """One row per checkpoint and site."""
    return [
        {
            "step": site.checkpoint,
            "site": site.name,
            "cosine": site.null.statistic,
            "null_mean": site.null.null_mean,
            "null_sd": site.null.null_sd,
            "z": site.null.z,
            "p": site.null.p,
            "adjusted_p": site.adjusted_p,
            "isometric_reference": site.null.isometric_reference,
        }
        for site in joint.sites
    ]


def published_row(step: int, control: "Published") -> dict[str, Any]:
    """The published code's numbers and its verdict; then the null's, on the same data."""
    return {
        "step": step,
        "deep_cosine": control.training_deep,
        "fresh_mean": float(control.fresh_deep.mean()),
        "pooled_sd": control.pooled_sd,
        "published_rule": control.verdict,
        "null_sd": control.deep.null_sd,
        "z": control.deep.z,
        "p": control.deep.p,
        "null": "adapted" if control.adapted else "as fresh feedback",
    }


def _told(joint: "Joint", alpha: float) -> str:
    known = [site for site in joint.sites if math.isfinite(site.adjusted_p)]
    beyond = [site for site in known if site.adjusted_p <= alpha]
    where = f"{len(known)} sites and checkpoints together"
    if not beyond:
        return f"no alignment beyond what other feedback gives, p = {joint.p:.3g} over {where}"
    first = ", ".join(f"{site.name} at {site.checkpoint}" for site in beyond[:3])
    more = f" and {len(beyond) - 3} more" if len(beyond) > 3 else ""
    return f"beyond what other feedback gives, p = {joint.p:.3g} over {where}: {first}{more}"


def _fields(words: list[str]) -> dict[str, str]:
    known, found = ("data", "data.path", "normalization", "residual"), dict[str, str]()
    for word in words:
        name, _, value = word.partition("=")
        if name not in known:
            raise UserError(f"{name} is no field of a checkpoint's images; there are {', '.join(known)}")
        if name in found:
            raise UserError(f"{name} is set twice; give it once")
        found[name] = value
    return found


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it: null where nothing is defined."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


def _short(row: dict[str, Any]) -> dict[str, Any]:
    signed = {"cosine", "null_mean", "deep_cosine", "fresh_mean"}
    return {
        name: value
        if not isinstance(value, float)
        else f"{value:+.4f}"
        if name in signed
        else f"{value:.4f}"
        if name in ("null_sd", "pooled_sd", "isometric_reference")
        else f"{value:.2f}"
        if name == "z"
        else f"{value:.3g}"
        for name, value in row.items()
    }
