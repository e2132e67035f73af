"""Images with a shortcut: a cue that agrees with the target as often as ``rho`` says."""

from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Bool, Int64
from torch import Tensor

from epochal.core.tensors import random
from epochal.core.tensors.batch import Batch
from epochal.core.tensors.random import Key
from epochal.core.tensors.task import Fields, Split
from epochal.core.values.errors import UserError
from epochal.tasks.images import Images
from epochal.tasks.shortcuts.cue import Cue
from epochal.tasks.shortcuts.environments import Environments, bins_of_brightness
from epochal.tasks.shortcuts.label_noise import another, noisy


@dataclass(frozen=True, kw_only=True, eq=False)
class CuedImages:
    """``images`` with noisy targets, environments, and a cue stamped last.

    The target is the label, or a wrong one (``label_noise``), in every split. The cue's code is the target
    with probability ``rho``, else one of the others at random; which is decided by the example's number, so
    that it depends neither on the size of the training set nor on the split. Reads ``spurious_seed``,
    ``label_noise``, ``rho`` and, for environments of that kind, ``rho_spread``.

    Factors: ``label`` (the true one), ``index``, ``is_noisy``, ``environment``; with a cue also ``code``,
    ``is_aligned`` (the code is the target) and ``group = 2 target + is_aligned``. Without one (``cue=None``)
    inputs are those of ``images``.

    Source: CausalGrok's patch, decided per index at random; label noise as in Arjovsky et al. 2019 (colored
    MNIST), where the cue predicts the noisy label better than the shape can.
    """

    images: Images
    cue: Cue | None
    environments: Environments

    @property
    def num_classes(self) -> int:
        return self.images.num_classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of the inputs."""
        return self.images.image_shape

    @property
    def num_inputs(self) -> int:
        return self.images.num_inputs

    @property
    def num_environments(self) -> int:
        return self.environments.count

    @property
    def num_groups(self) -> int:
        """Values that ``group`` may take; 0 without a cue."""
        return 0 if self.cue is None else 2 * self.num_classes

    @property
    def cue_kind(self) -> str:
        return "none" if self.cue is None else self.cue.kind

    @property
    def num_codes(self) -> int:
        return 0 if self.cue is None else self.cue.num_codes

    def cue_mask(self) -> Bool[Tensor, "H W"]:
        """Where the cue lies.

        Raises:
            UserError: there is none.
        """
        return self._given_cue().mask

    def size(self, split: Split) -> int:
        return self.images.size(split)

    def index(self, split: Split, fields: Fields) -> Int64[Tensor, " N"]:
        return self.images.index(split, fields)

    def batch(self, index: Int64[Tensor, " B"], fields: Fields, key: Key, *, training: bool = False) -> Batch:
        clean = self.images.batch(index, fields, key, training=training)
        targets, factors = self.drawn(index, fields)
        inputs = clean.inputs if self.cue is None else self.cue.stamped(clean.inputs, factors["code"])
        return clean._replace(inputs=inputs, targets=targets, factors=factors)

    def drawn(
        self, index: Int64[Tensor, " B"], fields: Fields
    ) -> tuple[Int64[Tensor, " B"], dict[str, Tensor]]:
        """Targets and factors of examples, without their images."""
        label = self.images.labels(index)
        target, is_noisy = noisy(label, index, fields, self.num_classes)
        environment = self._environment(index, fields)
        factors = {"label": label, "index": index, "is_noisy": is_noisy, "environment": environment}
        return target, factors | self._of_cue(target, index, environment, fields)

    def restamped(self, batch: Batch, code: Int64[Tensor, " B"] | None) -> Batch:
        """The same images, as an evaluation sees them, with other codes; None leaves the cue out.

        Without the cue there are no factors of it.

        Raises:
            UserError: there is no cue.
        """
        cue = self._given_cue()
        clean = self.images.inputs_of(batch.factors["index"])
        if code is None:
            others = {name: value for name, value in batch.factors.items() if name not in _OF_CUE}
            return batch._replace(inputs=clean, factors=others)
        factors = batch.factors | _agreement(batch.targets, code)
        return batch._replace(inputs=cue.stamped(clean, code), factors=factors)

    def _environment(self, index: Int64[Tensor, " B"], fields: Fields) -> Int64[Tensor, " B"]:
        if self.environments.kind == "brightness":
            return self._brightness[index]
        return self.environments.of(index, fields)

    def _of_cue(
        self,
        target: Int64[Tensor, " B"],
        index: Int64[Tensor, " B"],
        environment: Int64[Tensor, " B"],
        fields: Fields,
    ) -> dict[str, Tensor]:
        if self.cue is None:
            return {}
        key = random.key(fields["spurious_seed"], "cue")
        is_aligned = random.bernoulli(key, index, self.environments.agreement(environment, fields))
        if self.environments.kind == "patch_flip":
            is_aligned = is_aligned ^ (environment == 1)
        other = another(target, random.fold(key, "which"), index, self.num_classes)
        return _agreement(target, target.where(is_aligned, other))

    def _given_cue(self) -> Cue:
        if self.cue is None:
            raise UserError("these images have no cue to look at: it needs cue=patch, tint or texture")
        return self.cue

    @cached_property
    def _brightness(self) -> Int64[Tensor, " N"]:
        return bins_of_brightness(self.images.image_set, self.environments.count, self.images.device)


_OF_CUE = ("code", "is_aligned", "group")


def _agreement(target: Int64[Tensor, " B"], code: Int64[Tensor, " B"]) -> dict[str, Tensor]:
    is_aligned = code == target
    return {"code": code, "is_aligned": is_aligned, "group": 2 * target + is_aligned}
