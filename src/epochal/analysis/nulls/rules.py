"""Which null the credit of a learning rule has."""

from typing import Literal

from epochal.core.values.errors import UserError

Null = Literal["fresh feedback", "redraw"]

NULLS: dict[str, Null] = {
    "dfa": "fresh feedback",
    "penalised-dfa": "fresh feedback",
    "fa": "redraw",
    "drtp": "redraw",
    "pepita": "redraw",
}
LEARNED = ("kolen-pollack", "weight-mirror")
WITHOUT: dict[str, str] = {
    "backprop": "its credit is the gradient",
    "sign-symmetry": "its feedback is the sign of the weights",
    "frozen": "its blocks receive no credit",
}


def null_of(rule: str) -> Null:
    """``"fresh feedback"`` (``credit_cosine``, ``joint``), or ``"redraw"``.

    DFA's credit B e is free of local derivatives where a site is a residual stream or an activation. Where a
    rule multiplies it by the derivative at the site, as at pre-activations, credit and gradient share the
    mask, and ``redraw`` is the null.

    Raises:
        UserError: for a rule whose feedback is learned, or that has no random feedback, or an unknown one.
    """
    name = rule.strip().lower().replace("_", "-").replace(" ", "-")
    if name in NULLS:
        return NULLS[name]
    if name in LEARNED:
        raise UserError(
            f"rule={rule!r} learns its feedback from the gradients, so fresh feedback is no null for it: "
            "test one statistic per seed with across_seeds, against fa as a control arm"
        )
    if name in WITHOUT:
        raise UserError(f"rule={rule!r} has no random feedback to draw afresh: {WITHOUT[name]}")
    raise UserError(
        f"rule={rule!r} is not known: {', '.join(NULLS)} have a null; {', '.join(LEARNED)} have none"
    )


def check_fresh(rule: str) -> None:
    """Refuses a rule for whose credit fresh feedback alone is no null."""
    if null_of(rule) == "redraw":
        raise UserError(
            f"rule={rule!r} sends its credit through the network, so fresh feedback alone is no null for it: "
            "use redraw, which computes the credit again"
        )
