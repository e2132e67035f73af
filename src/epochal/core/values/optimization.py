"""Fields of how a network is optimised: objective, optimiser, what stands before and after it, the rate.

The order is always the same (``chain``): orthogonal gradient, Grokfast, clip, coupled decay, optimiser,
update noise, decoupled decay, constant norm; what is switched off is left out.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from epochal.core.values.fields import static, vary
from epochal.core.values.folder import NameIn

COUPLED = ("adam", "sgd", "rmsprop")
"""Optimisers whose weight decay is part of the gradient (L2) unless a kind is given, as in torch."""

COMPARED = {"irm": "environment", "vrex": "environment", "group_dro": "group", "reweighted": "group"}
"""What an objective compares unless told otherwise."""


class Optimization(BaseModel):
    """Base of every spec; the fields lie flat beside the experiment's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    objective: Annotated[str, NameIn("objectives")] = static("cross_entropy", "loss that is minimised")
    label_smoothing: float = vary(
        0.0, "weight of the uniform distribution in cross-entropy's targets", ge=0, lt=1
    )
    objective_over: Literal["auto", "environment", "group"] = static(
        "auto",
        "what irm, vrex, group_dro and reweighted compare; auto: environments in the first two, else groups",
    )
    penalty_weight: float = vary(
        100.0,
        "of irm and vrex, on what differs between environments",
        ge=0,
        source="Gulrajani & Lopez-Paz 2021",
    )
    penalty_anneal_steps: int = vary(0, "updates in which penalty_weight counts as 1 at most", ge=0)
    group_dro_eta: float = vary(
        0.01, "step of group_dro's weights of groups", ge=0, source="Sagawa et al. 2020"
    )

    rule: Annotated[str, NameIn("rules", or_own=True)] = static(
        "backprop", "credit assignment; or ./FILE.py:NAME"
    )

    credit_normalization: Literal["rms", "none"] = static(
        "rms", "of what dfa and its kin tell a site, per example: rms makes its size 1, none is as published"
    )
    feedback_sharing: Literal["site", "first_for_embedding"] = static(
        "site", "a feedback matrix per site, or the first site has that of the second (an embedding's)"
    )
    random_targets: bool = static(False, "control: trains on labels drawn anew for every batch")
    penalty: float = vary(0.01, "of rule penalised_dfa, on the mean square of activations at sites", ge=0)

    optimizer: Annotated[str, NameIn("optim/optimizers")] = static(
        "adamw", "rule that turns gradients into updates; muon takes hidden matrices, Adam the rest"
    )
    learning_rate: float = vary(1e-3, "step size after warm-up", gt=0, le=1e9)
    weight_decay: float = vary(
        0.0, "decay per step, times the learning rate", ge=0, source="Loshchilov & Hutter 2019"
    )
    weight_decay_kind: Literal["auto", "to_zero", "coupled", "to_initial", "jiggled"] = static(
        "auto", "what decays; auto is coupled (L2) for adam, sgd and rmsprop, as in torch, else to_zero"
    )
    beta1: float = vary(0.9, "decay of the running mean of gradients", ge=0, lt=1)
    beta2: float = vary(
        0.98, "decay of the running mean of squared gradients", ge=0, lt=1, source="Power et al. 2022"
    )
    adam_epsilon: float = vary(1e-8, "added to the root of the second moment", gt=0)
    momentum: float = vary(0.9, "of sgd", ge=0, lt=1)
    nesterov: bool = static(False, "Nesterov's form of sgd's momentum")
    rmsprop_alpha: float = vary(0.99, "decay of rmsprop's running mean of squared gradients", ge=0, lt=1)
    muon_momentum: float = vary(0.95, "of muon", ge=0, lt=1)
    sam_rho: float = vary(
        0.0, "radius of sharpness-aware minimisation; 0 = off", ge=0, source="Foret et al. 2021"
    )

    gradient_clip: float = vary(0.0, "largest gradient norm; 0 = no clipping", ge=0)
    gradient_clip_scope: Literal["member", "repeated", "block", "tensor"] = static(
        "member",
        "whose norm is clipped: all, each repeated block (the rest is not), each module, each tensor",
    )
    grokfast: Literal["off", "ema", "ma"] = static(
        "off", "low-pass filter that amplifies slow gradients", source="Lee et al. 2024"
    )
    grokfast_alpha: float = vary(0.98, "decay of the filter ema", ge=0, lt=1)
    grokfast_lambda: float = vary(2.0, "weight of the filtered gradient", ge=0)
    grokfast_window: int = static(100, "gradients in the filter ma; all of them are kept", ge=1, le=10_000)
    orthogonal_gradient: bool = static(
        False, "gradients lose their component along the weights", source="Prieto et al. 2025"
    )
    update_noise: float = vary(0.0, "noise added to each update, in units of the learning rate", ge=0)
    weight_noise: float = vary(0.0, "standard deviation of noise on weights in the training pass", ge=0)
    constant_norm: Literal["off", "member", "tensor"] = static(
        "off", "keeps the norm of all weights, or of each tensor, at its start", source="Liu et al. 2023"
    )

    warmup_steps: int = vary(10, "updates over which the learning rate rises linearly from 0", ge=0)
    warmup_from_zero: bool = static(
        False,
        "warm-up and annealing an update later: the first update has rate 0",
        source="Power et al. 2022, code",
    )
    anneal_steps: int = vary(0, "updates of cosine annealing after warm-up; 0 = constant", ge=0)
    anneal_every: int = vary(1, "updates between two rates of the annealing; 1 = smooth", ge=1)
    anneal_final_fraction: float = vary(0.1, "learning rate after annealing, as a fraction", ge=0, le=1)
    rate_decay_steps: int = vary(0, "updates between drops of the learning rate; 0 = none", ge=0)
    rate_decay_factor: float = vary(0.1, "of each drop", gt=0, le=1)

    def compared(self) -> str:
        """``objective_over`` with ``auto`` resolved; empty where the objective compares nothing."""
        usual = COMPARED.get(self.objective, "")
        return usual if not usual or self.objective_over == "auto" else self.objective_over

    def decay_kind(self) -> str:
        """``weight_decay_kind`` with ``auto`` resolved."""
        if self.weight_decay_kind != "auto":
            return self.weight_decay_kind
        return "coupled" if self.optimizer in COUPLED else "to_zero"

    def active_parts(self) -> tuple[str, ...]:
        """Optional parts that this member switches on by a value; members of a pack agree in them."""
        switches = ("sam_rho", "gradient_clip", "update_noise", "weight_noise")
        return tuple(name for name in switches if getattr(self, name) > 0)

    def chain(self) -> tuple[str, ...]:
        """Names of the transforms in the order in which they are applied to a gradient."""
        active, kind = self.active_parts(), self.decay_kind()
        links = [
            "orthogonal_gradient" if self.orthogonal_gradient else "",
            f"grokfast_{self.grokfast}" if self.grokfast != "off" else "",
            "clip" if "gradient_clip" in active else "",
            "decay_coupled" if kind == "coupled" else "",
            self.optimizer,
            "update_noise" if "update_noise" in active else "",
            f"decay_{kind}" if kind != "coupled" else "",
            "constant_norm" if self.constant_norm != "off" else "",
        ]
        return tuple(link for link in links if link)
