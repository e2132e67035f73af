"""What to call the members of a run in front of a person."""

from epochal.core.values.axes import value_text
from epochal.core.values.request import Request
from epochal.store.run import Run


def labels_of(request: Request) -> list[str]:
    """``seed 3``, or ``weight_decay 0.1, seed 3``: what varies, by member; one member is ``seed 0`` too."""
    names = request.varied or ("seed",)
    return [
        ", ".join(f"{name} {value_text(getattr(member, name))}" for name in names)
        for member in request.members
    ]


def stored_labels(run: Run) -> list[str]:
    """The same, of a stored run."""
    names = run.spec["varied"]
    if not names:
        return [f"seed {value_text(run.spec['fields']['seed'])}"] * len(run.members)
    rows = run.members.sort("member").select(names).iter_rows()
    return [", ".join(f"{n} {value_text(v)}" for n, v in zip(names, row, strict=True)) for row in rows]
