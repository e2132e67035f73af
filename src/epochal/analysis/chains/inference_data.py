"""Traces of chains as ArviZ's ``InferenceData``. ArviZ is an optional extra, imported on first use."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epochal.core.values.errors import UserError

REMEDY = "pip install 'epochal[arviz]'"


def inference_data(
    draws: Mapping[str, NDArray[np.floating[Any]]],
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Sequence[Any]],
    about: Mapping[str, Any],
) -> Any:
    """Arrays ``[chains, draws, *dims]`` by name as the group ``posterior``; ``about`` are its attributes.

    ``dims`` names the axes after chains and draws, ``coords`` what their places stand for.

    Raises:
        UserError: ArviZ is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # its releases announce themselves on import
            import arviz
    except ImportError as error:
        raise UserError(f"this needs ArviZ, which is not installed: {REMEDY}") from error
    arrays = {name: np.asarray(array) for name, array in draws.items()}
    names: dict[str, Any] = {
        "dims": {name: list(axes) for name, axes in dims.items()},
        "coords": {name: list(places) for name, places in coords.items()},
    }
    if int(arviz.__version__.partition(".")[0]) >= 1:
        found = arviz.from_dict({"posterior": arrays}, **names)
    else:
        found = arviz.from_dict(posterior=arrays, **names)
    found["posterior"].attrs.update(about)
    return found


def write_netcdf(data: Any, path: Path) -> None:
    """As a netCDF file that ``arviz.from_netcdf`` reads.

    Raises:
        UserError: nothing installed can write netCDF, or the folder does not take it.
    """
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}: make it, or give another -o FILE")
    try:
        data.to_netcdf(str(path))
    except (ImportError, ValueError) as error:  # xarray raises ValueError where no engine is installed
        raise UserError(f"writing netCDF needs h5netcdf or netCDF4: {REMEDY}") from error
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
