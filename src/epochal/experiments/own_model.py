"""A user's own network: built with what its signature names, served by the adapter."""

import inspect
from collections.abc import Mapping

from torch import nn

from epochal.core.tensors.network import Network
from epochal.core.values.errors import UserError
from epochal.core.values.source import parts_of
from epochal.core.values.spec import Spec
from epochal.experiments.answer_length import refuse_short_answers
from epochal.experiments.own_code import call, chosen_arguments, load
from epochal.models.adapter import network_of

SIZES = ("width", "depth", "dropout")
"""Fields of a spec that a constructor may ask for by name."""


def own_network(spec: Spec, token: str, offered: Mapping[str, object], scheme: str) -> Network:
    """The network of a class, or of a function that makes one; ``offered`` is what the task knows.

    Raises:
        UserError: it needs something else, fails, or makes no module.
    """
    offered = {**offered, **{name: getattr(spec, name) for name in SIZES if hasattr(spec, name)}}
    build, (name, digest) = load(token, spec.code), parts_of(token)
    where = f"{name} in {spec.code[digest]}"
    if not callable(build) or isinstance(build, nn.Module):
        raise UserError(f"{where} is no class and no function; model takes one that makes an nn.Module")
    refuse_short_answers(name, inspect.signature(build).parameters, offered)
    arguments = chosen_arguments(token, spec.code, build, offered)

    def make() -> nn.Module:
        module = call(token, spec.code, build, **arguments)
        if not isinstance(module, nn.Module):
            raise UserError(f"{where} makes {type(module).__name__}; model takes what makes an nn.Module")
        return module

    network = network_of(
        make,
        scheme,
        zero_readout=getattr(spec, "zero_readout", False),
    )
    if not network.layout.size:
        raise UserError(f"{where} has no parameters to train")
    return network
