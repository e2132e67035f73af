"""From a spec's field ``model`` to a network: epochal's own by the name of its file, or a user's."""

import inspect
from collections.abc import Mapping
from importlib import import_module

from torch import nn

from epochal.core.tensors.network import Network
from epochal.core.values.source import is_own
from epochal.core.values.spec import Spec
from epochal.experiments.answer_length import refuse_short_answers
from epochal.experiments.own_model import own_network
from epochal.models.initialization import initializer


def network_of(folder: str, name: str, spec: Spec, offered: Mapping[str, object]) -> Network:
    """The network ``model=name`` of ``models/FOLDER``, or own code.

    It is built with those of ``offered`` (what the task knows) and of the spec's fields that its signature
    names.

    Raises:
        UserError: own code that needs something else, or fails; answers longer than the model gives.
    """
    scheme = getattr(spec, "initialization", "torch")
    if is_own(name):
        return own_network(spec, name, offered, scheme)
    build: type[nn.Module] = import_module(f"epochal.models.{folder}.{name}").model
    names = inspect.signature(build).parameters
    known = {**{field: getattr(spec, field) for field in type(spec).model_fields}, **offered}
    refuse_short_answers(name, names, offered)
    arguments = {name: known[name] for name in names if name in known}
    initialise = initializer(
        scheme,
        zero_readout=getattr(spec, "zero_readout", False),
        init_scaled=getattr(spec, "init_scaled", "weights"),
    )
    return Network(lambda: build(**arguments), initialise)
