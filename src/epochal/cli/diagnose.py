"""The command that looks for what is wrong with a run: diagnose."""

import math
from typing import Annotated, Any

import typer

from epochal.cli.app import JsonOption, RunArgument, RunsOption, app, print_table
from epochal.cli.measure import MOST_ROWS, numbers_of

SHORT = {
    "gradient_norm_at_sites_lowest": "lowest site gradient",
    "gradient_norm_at_sites_highest": "highest one",
    "activation_scale_lowest": "lowest activation",
    "activation_scale_highest": "highest activation",
    "dead_units_highest": "most dead",
    "always_active_units_highest": "most always active",
    "train_softmax_collapse": "softmax collapse",
}


@app.command()
def diagnose(
    run: RunArgument,
    detailed: Annotated[
        bool,
        typer.Option("--detailed", help="Also curvature, gradient noise, the loss between snapshots."),
    ] = False,
    members: Annotated[str, typer.Option("--members", metavar="0:5", help="Which; default all.")] = "",
    runs: RunsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what is wrong with a run, by rules with thresholds."""
    from epochal.api import load, progress_bar, runs_folder
    from epochal.launch.diagnosis.measure import diagnose as examine
    from epochal.launch.diagnosis.rules import RULES
    from epochal.store.catalog import find_run

    found = load(find_run(run, runs_folder(runs)))
    seen = examine(found, members=numbers_of("members", members), detailed=detailed, bar=progress_bar)
    if as_json:
        rows = [{"table": "measures", **row} for row in seen.measures]
        rows += [{"table": "layers", **row} for row in seen.layers]
        rows += [{"table": "section", **row} for row in seen.section]
        rows += [{"table": "findings", **vars(one)} for one in seen.findings]
        rows += [{"table": "skipped", "why": why} for why in seen.skipped]
        print_table([{name: _json(value) for name, value in row.items()} for row in rows], True)
        return
    hidden = {"train_zero_gradient", "train_zero_terms", "gradient_noise_scale_error"}
    shown = [{name: value for name, value in row.items() if name not in hidden} for row in seen.measures]
    last = max((row["step"] for row in shown), default=0)
    print_table(
        [
            {SHORT.get(name, name): _digits(value) for name, value in row.items()}
            for row in shown
            if len(shown) <= MOST_ROWS or row["step"] == last
        ],
        False,
    )
    typer.echo(f"\nlayers, step {last}, member by member")
    print_table(_layer_rows(seen.layers, last), False)
    if seen.section:
        typer.echo("\ntraining loss on the straight line between snapshots")
        print_table(_section_rows(seen.section), False)
    typer.echo()
    for why in seen.skipped:
        typer.echo(f"not measured: {why}")
    if not seen.findings:
        typer.echo(f"nothing looks wrong by {len(RULES)} rules{'' if detailed else '; --detailed asks more'}")
        return
    typer.echo("what looks wrong")
    print_table([{**vars(one), "step": "" if one.step is None else one.step} for one in seen.findings], False)


def _layer_rows(layers: list[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    """A row per member and layer, a column per measure."""
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    names = list(dict.fromkeys(row["measure"] for row in layers))
    for row in layers:
        if row["step"] == step:
            empty = {"member": row["member"], "layer": row["layer"], **dict.fromkeys(names)}
            rows.setdefault((row["member"], row["layer"]), empty)[row["measure"]] = _digits(row["value"])
    return [rows[key] for key in sorted(rows, key=lambda key: key[0])]


def _section_rows(section: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows: dict[tuple[int, int, int], dict[str, Any]] = {}
    for one in section:
        key = (one["member"], one["from_step"], one["to_step"])
        start = {"member": key[0], "from_step": key[1], "to_step": key[2]}
        rows.setdefault(key, start)[f"{one['fraction']:.0%}"] = _digits(one["train_loss"])
    return list(rows.values())


def _digits(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _json(value: Any) -> Any:
    """As JSON has it: what is not finite as text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
