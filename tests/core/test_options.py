"""Options of a probe: text and Python values, defaults left out, every error at once."""

from typing import Literal

import pytest
from pydantic import Field

from epochal.core.values.errors import UserError
from epochal.core.values.options import NoOptions, Options, given_options, parse_options


class Chain(Options):
    """As a sampler has them."""

    draws: int = Field(100, ge=1)
    step_size: float = Field(1e-3, gt=0)
    sites: tuple[str, ...] = ()
    kind: Literal["sgld", "mala"] = "sgld"
    verbose: bool = False


def test_text_and_values_are_the_same() -> None:
    text = {"draws": "1e3", "step_size": "0.01", "sites": "a, b", "kind": "mala", "verbose": "true"}
    values = {"draws": 1000, "step_size": 0.01, "sites": ["a", "b"], "kind": "mala", "verbose": True}
    options = parse_options(Chain, text, "chain")
    assert options == parse_options(Chain, values, "chain")
    assert given_options(options) == values
    assert parse_options(Chain, given_options(options), "chain") == options


def test_defaults_are_left_out() -> None:
    assert given_options(parse_options(Chain, {"draws": "100", "step_size": "1e-3"}, "chain")) == {}


def test_every_error_in_one_short_list() -> None:
    given = {"draw": "3", "step_size": "-1", "kind": "mla", "draws": "many"}
    with pytest.raises(UserError) as error:
        parse_options(Chain, given, "chain", "chain.")
    lines = sorted(str(error.value).splitlines())
    assert lines == [
        "chain.draw is unknown: did you mean 'draws'?",
        "chain.draws=many is not allowed: draws is a whole number >= 1",
        "chain.kind=mla is not allowed: kind is sgld or mala: did you mean 'mala'?",
        "chain.step_size=-1 is not allowed: step_size is a number > 0",
    ]


def test_a_probe_without_options_says_so() -> None:
    with pytest.raises(UserError, match="x=1: loss has no options"):
        parse_options(NoOptions, {"x": "1"}, "loss")
