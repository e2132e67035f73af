"""Fields of the experiment ``images``."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator

from epochal.core.values.fields import execute, observe, static, vary
from epochal.core.values.folder import NameIn
from epochal.core.values.spec import LARGEST_SEED, PROBES_MEANING, Spec
from epochal.experiments.images import cue_rules


def _as_raw(given: object) -> object:
    """``none`` is what runs before this name called it."""
    return "raw" if given == "none" else given


class ImagesSpec(Spec):
    """One network that learns the labels of an image set.

    What depends on the images themselves (``data_checksum``, ``n_train`` where it is not given, ``max_steps``
    where ``epochs`` is) is filled in by ``prepare`` before specs are made.
    """

    data: str = static(
        "digits", "image set: digits, mnist, cifar10, pneumoniamnist, npz, idx, ...; or ./FILE.py:FUNCTION"
    )
    data_path: str | None = execute(
        None, "file or folder of the set (data.path); none = $EPOCHAL_DATA or ./data"
    )
    data_checksum: str = static("", "of all images and labels; filled in, identifies what data.path held")
    n_train: int | None = static(None, "training images, from a keyed order; none = all", ge=1)
    held_out_fraction: float = static(
        0.2, "of the training images for validation, in sets without another split", gt=0, lt=1
    )
    normalization: Annotated[Literal["standard", "half", "raw", "compat"], BeforeValidator(_as_raw)] = static(
        "standard",
        "per channel: by mean and deviation of the training images; half = by 1/2, 1/2; raw = pixels / 255;"
        " compat = by the constants of grok-adversarial",
    )
    channel_mean: tuple[float, ...] = static(
        (), "what normalization subtracts from x / 255, per channel; filled in", identity=False
    )
    channel_std: tuple[float, ...] = static(
        (), "what it divides by: epsilon is in units of x / 255, whatever this is; filled in", identity=False
    )
    crop_padding: int = static(0, "pixels of padding around a random crop, in training", ge=0, le=64)
    flip: bool = static(False, "random horizontal flips, in training")
    image_size: int | None = static(
        None, "height and width after resizing; none = as they are", ge=1, le=1024
    )
    channels: Literal["as_is", "rgb"] = static("as_is", "rgb repeats grey images three times")

    cue: Literal["none", "patch", "tint", "texture"] = static(
        "none", "shortcut stamped on every image: a coloured patch, a tint of all of it, stripes"
    )
    rho: float = vary(0.8, "share of examples whose cue agrees with the target, in every split", ge=0, le=1)
    patch_size: int = static(4, "side of the patch, period of the stripes, in pixels", ge=1, le=1024)
    patch_place: Literal["top_left", "top_right", "bottom_left", "bottom_right", "center"] = static(
        "top_left", "where the patch lies"
    )
    cue_colors: tuple[str, ...] = static((), "colours of patch and tint by class; empty = red,blue,green,...")
    cue_strength: float = static(
        1.0, "factor on the cue's colours, in units of normalised pixels", gt=0, le=100
    )
    label_noise: float = vary(0.0, "share of wrong targets, in every split", ge=0, lt=1)
    environments: Literal["brightness", "patch_flip", "rho", "random"] = static(
        "brightness",
        "parts of the data: bins of the mean pixel, the cue turned in one of two, rho different, at random",
    )
    num_environments: int = static(3, "how many; patch_flip has two", ge=2, le=100)
    rho_spread: float = vary(
        0.1, "with environments=rho: theirs lie from rho - rho_spread to rho + rho_spread", ge=0, le=0.5
    )
    spurious_seed: int | None = vary(
        None,
        "cue, label noise, drawn environments: seed of this stream alone; none = the member's seed",
        ge=0,
        le=LARGEST_SEED,
    )

    model: Annotated[str, NameIn("models/images", or_own=True)] = static(
        "mlp", "architecture; or ./FILE.py:CLASS"
    )
    width: int = static(
        200, "hidden units of an MLP; channels of the first stage of a ResNet or convnet", ge=1, le=65_536
    )
    depth: int = static(2, "hidden layers of the MLP, blocks of resmlp, stages of convnet", ge=0, le=1_000)
    residual: bool = static(True, "resmlp's blocks add to the stream; false = they replace it")
    w2_std: float = static(
        0.01, "initial deviation of the last weights of resmlp's blocks; take 0.05 when residual=false", gt=0
    )
    activation: Literal["relu", "gelu", "tanh"] = static("relu", "non-linearity of mlp and convnet")
    norm: Literal["batch", "group", "none"] = static("batch", "normalisation layers of a ResNet")
    stem: Literal["small", "large"] = static("small", "first layers of resnet18: for small images or for 224")
    preactivation: bool = static(
        False, "resnet18 with norm and non-linearity before each convolution, as model=preact_resnet18"
    )
    dropout: float = static(0.0, "share of the MLP's activations that is dropped in training", ge=0, lt=1)
    initialization: Literal["torch", "torchvision", "lecun", "orthogonal"] = static(
        "torch", "initial distributions; torchvision: convolutions as in its ResNets"
    )
    init_scale: float = vary(1.0, "factor on initial weights", gt=0)
    init_scaled: Literal["weights", "all"] = static(
        "weights", "what init_scale multiplies: what has more than one dimension, or biases and norms too"
    )
    zero_readout: bool = static(False, "starts the last layer at zero")

    training: Literal["standard", "pgd", "mixed", "trades"] = static(
        "standard", "on images as they are, on adversarial ones, on a share of them, on both (TRADES)"
    )
    epsilon: float = vary(
        8 / 255, "radius of attacks in units of pixels in [0, 1], such as 8/255, in training and probes", ge=0
    )
    attack_norm: Literal["linf", "l2"] = static("linf", "of the attack in training")
    attack_steps: int = static(10, "of the attack in training", ge=1, le=10_000)
    attack_step_size: float = vary(
        0.0, "of the attack in training, in units of pixels; 0 = 2.5 epsilon / attack_steps", ge=0
    )
    mixed_share: float = vary(0.5, "of a batch that training=mixed attacks", ge=0, le=1)
    trades_beta: float = vary(
        6.0, "weight of the divergence between clean and adversarial predictions", ge=0,
        source="Zhang et al. 2019",
    )  # fmt: skip

    probe_samples: int = observe(
        1024, "examples of the probes that look into the network: the first of those that val_* reads", ge=1
    )
    probes: tuple[str, ...] = observe(("loss", "accuracy", "weight_norm"), PROBES_MEANING)
    epochs: int | None = static(
        None, "passes over the training set; sets max_steps", ge=1, le=10**7, identity=False
    )
    anneal_per_epoch: bool = static(
        False,
        "cosine annealing over all epochs with one rate per epoch; sets anneal_steps, anneal_every",
        identity=False,
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.n_train is not None:
            self.examples_per_update(self.n_train)
        cue_rules.check(self)
        if self.training != "standard" and self.compile:
            raise ValueError(f"training={self.training} cannot be compiled; give compile=false")
        if self.preactivation and self.model == "resnet18" and self.stem != "small":
            raise ValueError("preactivation=true has the small stem only; give stem=small")
        return self

    @property
    def has_shortcut(self) -> bool:
        """Whether images come with a cue, wrong labels or environments."""
        return self.cue != "none" or self.label_noise > 0 or cue_rules.needs_environments(self)

    def pack_key(self) -> tuple[object, ...]:
        return (*super().pack_key(), self.has_shortcut)


EXPERIMENT_SPEC = ImagesSpec
