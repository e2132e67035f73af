"""Fields of the experiment ``algorithmic``."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from epochal.core.values.fields import static, vary
from epochal.core.values.folder import NameIn
from epochal.core.values.spec import Spec

WITHOUT_HEADS = ("lstm", "mlp")


class AlgorithmicSpec(Spec):
    """One network that learns part of the table of ``a op b`` modulo a number."""

    operation: Literal["+", "-", "*", "/"] = static(
        "+", "a op b, modulo the modulus; / needs a prime modulus"
    )
    modulus: int = static(97, "size of the number set", ge=2, le=4_000, source="Power et al. 2022")
    train_fraction: float = vary(0.5, "share of the table for training; the rest validates", gt=0, lt=1)

    model: Annotated[str, NameIn("models/tokens", or_own=True)] = static(
        "transformer", "architecture; or ./FILE.py:CLASS"
    )
    width: int = static(128, "width D of the residual stream; units of a hidden layer", ge=1, le=65_536)
    depth: int = static(1, "number of blocks or hidden layers", ge=1, le=1_000)
    heads: int = static(4, "attention heads; must divide the width", ge=1)
    mlp_ratio: float = static(4.0, "hidden width of the transformer's MLP over its width", gt=0, le=64)
    mlp_bias: bool = static(True, "biases in the transformer's MLP, in the hidden layers of model=mlp")
    attention_bias: bool = static(False, "biases of queries, keys, values and attention's output")
    readout_bias: bool = static(False, "a bias of the last layer of lstm and mlp")
    layer_norm: Literal["none", "pre", "post", "input"] = static(
        "none", "where layer norm stands; pre adds one at the end; input is pre on the residual stream itself"
    )
    activation: Literal["relu", "gelu", "quadratic"] = static(
        "relu", "non-linearity of the MLP; quadratic, the square, in model=mlp only"
    )
    embedding: Literal["auto", "learned", "onehot"] = static(
        "auto", "what lstm and mlp see of a token; auto: learned in lstm, one-hot vectors in mlp"
    )
    parametrization: Literal["standard", "mean_field"] = static(
        "standard",
        "mean_field: mlp divides by the root of the inputs of hidden layers, by those of the last",
    )
    position: Literal["learned", "sinusoidal"] = static("learned", "encoding of positions")
    readout: Literal["last", "mean"] = static("last", "what is unembedded: the last position or their mean")
    dropout: float = static(0.0, "share of activations and attention weights dropped in training", ge=0, lt=1)
    dropout_at: Literal["all", "mlp"] = static(
        "all", "where a transformer drops: embedding, attention, branches; or what the MLP adds only"
    )
    initialization: Literal["torch", "lecun", "nanda", "multihead", "normal"] = static(
        "torch",
        "torch's; lecun: variance 1 / fan-in; nanda: 1 / width; multihead: torch's, with its attention's; "
        "normal: variance 1",
    )
    init_scale: float = static(1.0, "factor on initial weights", gt=0)
    init_scaled: Literal["weights", "all"] = static(
        "weights", "what init_scale multiplies: what has more than one dimension, or biases and norms too"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.model != "mlp" and (self.activation == "quadratic" or self.parametrization != "standard"):
            field = "parametrization" if self.activation != "quadratic" else "activation"
            raise ValueError(f"{field}={getattr(self, field)} needs model=mlp, not model={self.model}")
        if self.width % self.heads and self.model not in WITHOUT_HEADS:
            near = [heads for heads in range(1, self.width + 1) if self.width % heads == 0]
            best = min(near, key=lambda heads: abs(heads - self.heads))
            raise ValueError(
                f"heads={self.heads} does not divide width={self.width}: choose a divisor, such as {best}"
            )
        if round(self.mlp_ratio * self.width) < 1:
            raise ValueError(
                f"mlp_ratio={self.mlp_ratio:g} leaves no hidden unit at width={self.width}: raise it"
            )
        if self.operation == "/" and (factor := smallest_factor(self.modulus)) < self.modulus:
            raise ValueError(
                f"modulus={self.modulus} is {factor} x {self.modulus // factor}; operation=/ needs a prime, "
                f"such as modulus={next_prime(self.modulus)}"
            )
        if not 1 <= self.train_size < self.table_size:
            empty = "validation" if self.train_size else "training"
            raise ValueError(
                f"train_fraction={self.train_fraction:g} of {self.table_size} equations leaves the "
                f"{empty} set empty: {'lower' if self.train_size else 'raise'} it, or raise the modulus"
            )
        self.examples_per_update(self.train_size)
        return self

    @property
    def table_size(self) -> int:
        """Number of equations: p^2, or p (p - 1) for division, which leaves zero out."""
        return self.modulus * (self.modulus - 1 if self.operation == "/" else self.modulus)

    @property
    def train_size(self) -> int:
        return round(self.train_fraction * self.table_size)

    def pack_key(self) -> tuple[object, ...]:
        return (*super().pack_key(), self.train_size)


EXPERIMENT_SPEC = AlgorithmicSpec


def smallest_factor(number: int) -> int:
    """The smallest divisor above 1: the number itself where it is prime."""
    divisors = (factor for factor in range(2, int(number**0.5) + 1) if number % factor == 0)
    return next(divisors, number)


def next_prime(number: int) -> int:
    """The smallest prime above a number."""
    return next(n for n in range(number + 1, 2 * number + 2) if smallest_factor(n) == n)
