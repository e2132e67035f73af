"""Fields of the experiment ``algorithmic``."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import model_validator

from epochal.core.values.fields import static, vary
from epochal.core.values.folder import NameIn
from epochal.core.values.spec import Spec
from epochal.experiments.algorithmic import task_rules
from epochal.tasks.algorithmic.operation import OperationName

WITHOUT_HEADS = ("lstm", "mlp")


class AlgorithmicSpec(Spec):
    """One network that learns part of the equations ``a op b = c``."""

    operation: Annotated[str, OperationName()] = static(
        "+", "what is computed modulo the modulus: a sign, a formula of a, b, c or x, y, z, a name, own code"
    )
    modulus: int = static(97, "size of the number set", ge=2, le=4_000, source="Power et al. 2022")
    num_operands: int | None = static(
        None,
        "operands of + - * /, sequences, parity, own code; none = 2, or as the formula says",
        ge=1,
        le=64,
    )
    train_fraction: float = vary(0.5, "share of the equations for training; the rest validates", gt=0, lt=1)
    n_train: int | None = static(None, "training equations; none = by train_fraction", ge=1)
    n_val: int | None = static(None, "validation equations; none = all that are not trained on", ge=1)
    operand_fraction: float = vary(
        1.0, "share of its values that the first operand takes, drawn from split_seed", gt=0, le=1
    )
    relevant_operands: int = static(3, "bits that count in operation=parity, drawn from split_seed", ge=1)
    label_noise: float = vary(
        0.0, "share of the training equations with the result of another one", ge=0, lt=1
    )
    tokens: Literal["operands", "equals", "infix", "equation"] = static(
        "equals", "what is seen of 5 + 7 = 12: 5 7, 5 7 =, 5 + 7 =, or <|eos|> 5 + 7 ="
    )
    answer: Literal["result", "result_and_end"] = static(
        "result", "what is answered: 12, or 12 <|eos|>, right only if both are", source="Power et al. 2022"
    )
    vocabulary: Literal["compact", "openai"] = static(
        "compact", "tokens: those that occur, numbers first; or all 142 + modulus of openai/grok"
    )
    classes: Literal["answers", "vocabulary"] = static(
        "answers", "what an answer is chosen from: possible answers, or the whole vocabulary"
    )

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
    init_scale: float = vary(1.0, "factor on initial weights", gt=0)
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
        task_rules.check_task(self)
        self.examples_per_update(self.train_size)
        return self

    @property
    def table_size(self) -> int:
        """Number of equations."""
        return task_rules.table_size(self)

    @property
    def train_size(self) -> int:
        return round(self.train_fraction * self.table_size) if self.n_train is None else self.n_train

    @property
    def val_size(self) -> int:
        return self.table_size - self.train_size if self.n_val is None else self.n_val

    def meaningless(self) -> Mapping[str, str]:
        return task_rules.meaningless(self)

    def identity(self) -> dict[str, object]:
        """As every spec's; the number of operands counts where it is not what it would be anyway."""
        usual = self.model_copy(update={"num_operands": None})
        same = task_rules.operation_of_spec(self) == task_rules.operation_of_spec(usual)
        return super(AlgorithmicSpec, usual if same else self).identity()

    def pack_key(self) -> tuple[object, ...]:
        sizes = (self.table_size, self.train_size, self.val_size)
        return (*super().pack_key(), *sizes, self.label_noise > 0)


EXPERIMENT_SPEC = AlgorithmicSpec
