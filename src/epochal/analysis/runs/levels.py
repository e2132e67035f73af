"""What a level and a power may be."""

from epochal.core.values.errors import UserError


def check_level(alpha: float, power: float | None = None) -> None:
    if not 0 < alpha < 0.5:
        raise UserError(f"alpha={alpha} is outside (0, 0.5): 0.05 allows one false claim in twenty")
    if power is not None and not 0 < power < 1:
        raise UserError(f"power={power} is outside (0, 1): give 0.9, or None to leave the runs needed out")
