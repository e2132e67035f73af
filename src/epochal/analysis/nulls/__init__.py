"""Is credit aligned with the gradient by more than any feedback would be? Nulls of a mean cosine, no torch.

What each of them holds for:

* ``credit_cosine``, ``joint``: the credit is B e with a fixed B and nothing else (DFA): fresh B, by closed
  form and Monte Carlo.
* ``redraw``: the credit passes through the network (FA, DRTP, PEPITA): another B, the credit computed again.
* ``haar``: a common rotation of the credits; only where credit and gradient share no local derivative.
* learned feedback (Kolen-Pollack, weight mirror) has none: it depends on the gradients.
* ``across_seeds``: a claim about an algorithm, whose unit is the seed.
"""

from epochal.analysis.nulls.across_seeds import across_seeds
from epochal.analysis.nulls.credit import CreditNull, credit_cosine
from epochal.analysis.nulls.enough import check_draws, draws_needed
from epochal.analysis.nulls.expected_cosine import expected_cosine
from epochal.analysis.nulls.haar import haar
from epochal.analysis.nulls.joint import Joint, MeanNull, Site, SiteNull, joint, shared_feedback
from epochal.analysis.nulls.published import Published, published, published_verdict
from epochal.analysis.nulls.redraw import redraw
from epochal.analysis.nulls.rules import null_of
from epochal.analysis.nulls.variance import leading_variance, null_variance

__all__ = [
    "CreditNull",
    "Joint",
    "MeanNull",
    "Published",
    "Site",
    "SiteNull",
    "across_seeds",
    "check_draws",
    "credit_cosine",
    "draws_needed",
    "expected_cosine",
    "haar",
    "joint",
    "leading_variance",
    "null_of",
    "null_variance",
    "published",
    "published_verdict",
    "redraw",
    "shared_feedback",
]
