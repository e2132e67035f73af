"""What is wrong with a probe's option is one line: what was given, what is allowed, the remedy."""

import pytest

from epochal.core.values.errors import UserError
from epochal.core.values.options import Options, parse_options
from epochal.probes.llc import CoefficientOptions
from epochal.probes.local_complexity import ComplexityOptions
from epochal.probes.robust_accuracy import RobustOptions
from epochal.probes.segment_density import SegmentOptions

IN_PAIRS = "is an odd number, and they come in pairs x + r v, x - r v: give 50 or 52"

WRONG = ("-1", "0", "1", "51", "1e9", "nan", "inf", "none", "x", "", "0.5,-1")


@pytest.mark.parametrize(
    ("kind", "name", "given", "said"),
    [
        (ComplexityOptions, "vertices", "51", IN_PAIRS),
        (ComplexityOptions, "radius", "-1", "is not allowed: radius is a number > 0, or several as a,b,c"),
        (ComplexityOptions, "radius", "", "is not allowed: radius is a number > 0, or several as a,b,c"),
        (RobustOptions, "epsilon", "0.5,-1", "has a negative radius; write 0 or more, such as 8/255"),
        (CoefficientOptions, "chains", "1", "is not allowed: chains is a whole number >= 2 and <= 1024"),
        (SegmentOptions, "points", "1", "is not allowed: points is a whole number >= 2 and <= 100000"),
    ],
)  # fmt: skip
def test_it_says_what_was_given_and_what_is_allowed(
    kind: type[Options], name: str, given: str, said: str
) -> None:
    with pytest.raises(UserError) as error:
        parse_options(kind, {name: given}, "probe", "probe.")
    assert str(error.value) == f"probe.{name}={given} {said}"


@pytest.mark.parametrize("kind", [CoefficientOptions, ComplexityOptions, RobustOptions, SegmentOptions])
def test_every_wrong_value_is_one_line_with_what_is_allowed(kind: type[Options]) -> None:
    refused = 0
    for name in kind.model_fields:
        for given in WRONG:
            try:
                parse_options(kind, {name: given}, "probe", "probe.")
            except UserError as error:
                line = str(error)
                assert len(line.splitlines()) == 1 and line.startswith(f"probe.{name}="), line
                assert "[" not in line and (" is " in line or " has " in line), line
                refused += 1
    assert refused > 3 * len(kind.model_fields), "the values are wrong for most options"
