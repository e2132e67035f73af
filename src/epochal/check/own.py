"""Checks ``FILE.py:NAME`` of a user's own, whichever kind it is."""

from collections.abc import Callable

from torch import nn

from epochal.check.case import Outcome
from epochal.check.probe import check_probe
from epochal.check.rule import check_rule
from epochal.core.tensors.probe import Probe
from epochal.core.tensors.rule import is_rule
from epochal.core.values.errors import UserError
from epochal.core.values.source import hashed
from epochal.core.values.study import Study
from epochal.experiments.own_code import load, load_rule
from epochal.studies import Found, find


def check_own(subject: str, check_study: Callable[[Found], list[Outcome]]) -> list[Outcome]:
    """The outcome of every check of its kind; that of studies is handed in, since it needs the launcher.

    Raises:
        UserError: it cannot be loaded, or is no probe, rule or study.
    """
    path, _, name = subject.rpartition(":")
    if not path.endswith(".py") or not name.isidentifier():
        raise UserError(f"{subject} names nothing in a file; write ./FILE.py:NAME")
    settings, code = hashed({"rule": subject})
    token = str(settings["rule"])
    found = load(token, code)
    if isinstance(found, Study):
        return check_study(find(subject))
    if isinstance(found, Probe):
        return check_probe(found)
    if is_rule(found):
        return check_rule(load_rule(token, code))
    if isinstance(found, type) and issubclass(found, nn.Module):
        raise UserError(f"{subject} is a model; `epochal run images model={subject} --plan` tries it")
    raise UserError(
        f"{subject} is neither a probe (a function under @epochal.probe) nor a rule (a class with surrogate, "
        "at_site or gradient) nor a study"
    )
