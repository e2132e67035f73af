"""What to call the members of a run in front of a person."""

from epochal.core.values.axes import value_text
from epochal.core.values.request import Request


def labels_of(request: Request) -> list[str]:
    """``seed 3``, or ``weight_decay 0.1, seed 3``: what varies, by member; one member is ``seed 0`` too."""
    names = request.varied or ("seed",)
    return [
        ", ".join(f"{name} {value_text(getattr(member, name))}" for name in names)
        for member in request.members
    ]
