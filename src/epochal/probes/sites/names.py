"""The names of a network's sites, for the places of arrays that have one number per site."""

from collections.abc import Callable, Mapping, Sequence

from epochal.core.tensors.view import View


def named(*columns: str) -> Callable[[object, View], Mapping[str, Sequence[str]]]:
    """Labels of array columns with a number per site, in the order of the network."""

    def labels(options: object, view: View) -> Mapping[str, Sequence[str]]:
        return {column: list(view.passage().activations) for column in columns}

    return labels
