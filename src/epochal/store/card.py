"""A run in a few lines of HTML, for a notebook."""

from html import escape

from epochal.store.catalog import standing
from epochal.store.run import Run

MOST_ROWS = 12


def card(run: Run) -> str:
    """Name, how it stands, and one row per member: what varies, when each event was, how it ended."""
    spec, varied = run.spec, [name for name in run.spec["varied"] if name in run.members.columns]
    steps = {
        (event["member"], event["name"]): event["step"]
        for event in run.events.iter_rows(named=True)
        if not event["name"].endswith("_99")
    }
    names = list(dict.fromkeys(name for _, name in steps))
    header = ["member", *varied, *names, "outcome"]
    rows = []
    for member in run.members.head(MOST_ROWS).iter_rows(named=True):
        found = [steps.get((member["member"], name)) for name in names]
        when = ["" if step is None else f"{step:.0f}" for step in found]
        rows.append([member["member"], *(member[name] for name in varied), *when, member["outcome"]])
    more = len(run.members) - len(rows)
    cells = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f"<div><strong>{escape(run.name)}</strong><br>"
        f"{escape(str(spec.get('experiment')))}, {len(run.members)} member{'s' * (len(run.members) > 1)}, "
        f"{spec.get('max_steps')} steps: {escape(standing(run.path))}"
        f"<table><thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in header)}</tr></thead>"
        f"<tbody>{cells}</tbody></table>"
        f"{f'and {more} more members<br>' if more > 0 else ''}"
        f"<code>{escape(str(run.path))}</code></div>"
    )


def _cell(value: object) -> str:
    return f"<td>{escape(str(value)).replace('_', ' ')}</td>"
