"""The probes that a spec names, loaded and with their options."""

from collections.abc import Mapping

from epochal.core.tensors.probe import ConfiguredProbe, Probe
from epochal.core.values.errors import UserError
from epochal.core.values.options import given_options, parse_options
from epochal.core.values.probe_list import name_of, split_entry
from epochal.core.values.source import is_own, parts_of
from epochal.core.values.spec import Spec
from epochal.experiments.own_code import load
from epochal.probes import find


def configured_probes(spec: Spec) -> list[ConfiguredProbe]:
    """The probes of a spec with their options, in its order.

    Raises:
        UserError: an unknown probe, an option that does not fit, or two probes with one column.
    """
    made, lines, owner = [], [], dict[str, str]()
    for entry in spec.probes:
        token, label = split_entry(entry)
        probe, name = load_probe(token, spec.code), name_of(entry)
        try:
            options = parse_options(probe.options, spec.options_of(name), name, f"probe_options.{name}.")
        except UserError as error:
            lines.append(str(error))
            continue
        made.append(probe.configured(options, label))
        for column in made[-1].columns:
            if column.name in owner:
                lines.append(
                    f"probes {owner[column.name]} and {name} both have the column {column.name}; "
                    f"give one a label: {name.partition('@')[0]}@LABEL"
                )
            owner[column.name] = name
    if lines:
        raise UserError("\n".join(lines))
    return made


def canonical_options(spec: Spec) -> dict[str, object]:
    """``probe_options`` as their types hold them, without those at their defaults.

    Raises:
        UserError: as `configured_probes`.
    """
    return {
        f"{made.name}.{option}": value
        for made in configured_probes(spec)
        for option, value in given_options(made.options).items()
    }


def load_probe(token: str, code: Mapping[str, str]) -> Probe:
    """A probe of epochal's by its name, or a user's own by its ``NAME#HASH``.

    Raises:
        UserError: there is none, or it was not declared with ``epochal.probe``.
    """
    if not is_own(token):
        return find(token)
    found = load(token, code)
    if not isinstance(found, Probe):
        name, digest = parts_of(token)
        raise UserError(
            f"{name} in {code[digest]} is no probe: decorate the function with @epochal.probe(...)"
        )
    return found
