"""The sets that epochal knows by name: what they are, where they come from, what is on this disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from epochal.core.values.errors import UserError
from epochal.core.values.nearest import did_you_mean
from epochal.tasks.datasets import cifar10
from epochal.tasks.datasets.checksum import md5_of
from epochal.tasks.datasets.cifar10 import load_cifar10
from epochal.tasks.datasets.digits import load_digits
from epochal.tasks.datasets.download import Progress, download
from epochal.tasks.datasets.idx import load_idx
from epochal.tasks.datasets.image_set import ImageSet
from epochal.tasks.datasets.npz import load_npz
from epochal.tasks.datasets.root import data_root

State = Literal["verified", "wrong checksum", "missing"]


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One official file. ``num_bytes`` (None: not published) is for people and for free space, and may be
    rounded; the checksum decides.
    """

    name: str
    address: str
    md5: str
    num_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class KnownSet:
    """``load(folder, verify)`` reads the set from the folder of `where`; no ``files``: it is built in."""

    name: str
    description: str
    licence: str
    source: str
    files: tuple[SourceFile, ...]
    load: Callable[[Path, bool], ImageSet]

    @property
    def num_bytes(self) -> int | None:
        """Of all files; None where a size is not published."""
        sizes = [file.num_bytes for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


@dataclass(frozen=True, kw_only=True)
class FileState:
    """How one official file stands on this disk; ``path`` is where it is, or would be put."""

    file: SourceFile
    path: Path
    state: State
    found_md5: str | None = None


def listing() -> tuple[KnownSet, ...]:
    """Every known set, by name."""
    return tuple(CATALOG[name] for name in sorted(CATALOG))


def find(name: str) -> KnownSet:
    """The set of this name.

    Raises:
        UserError: there is none.
    """
    if name not in CATALOG:
        raise UserError(f"no data set {name!r}{did_you_mean(name, CATALOG)}")
    return CATALOG[name]


def where(name: str, root: str | Path | None = None) -> Path:
    """The folder of a set: the first that holds one of its files, else ``ROOT/NAME``, for it to come."""
    known, base = find(name), data_root(root)
    own = base / name
    return next((folder for folder in _folders(base, name) if _holds(folder, known)), own)


def is_there(name: str, root: str | Path | None = None) -> bool:
    """Whether ``load`` finds something to read; says nothing about checksums."""
    known = find(name)
    return not known.files or _holds(where(name, root), known)


def verify(name: str, root: str | Path | None = None) -> tuple[FileState, ...]:
    """Reads every official file of a set and compares checksums; empty for a set that is built in."""
    folder = where(name, root)
    return tuple(_state(file, folder / file.name) for file in find(name).files)


def get(name: str, root: str | Path | None = None, progress: Progress | None = None) -> tuple[Path, ...]:
    """Fetches the official files that are not there yet; their paths.

    Raises:
        UserError: as `download`.
    """
    folder = where(name, root)
    return tuple(
        download(file.address, folder / file.name, md5=file.md5, num_bytes=file.num_bytes, progress=progress)
        for file in find(name).files
    )


def load(name: str, root: str | Path | None = None, *, verify: bool = True) -> ImageSet:
    """Reads a set; ``verify`` refuses official files whose checksum differs (unpacked ones have none).

    Raises:
        UserError: it is not there (with the command that fetches it), not the official one, or damaged.
    """
    known = find(name)
    if not is_there(name, root):
        addresses = " ".join(file.address for file in known.files)
        get = f"epochal data get {name}" + (f" --root {root}" if root is not None else "")
        raise UserError(
            f"{name} is not in {data_root(root)}; `{get}` fetches it, or put the official files into "
            f"{where(name, root)}: {addresses}"
        )
    return known.load(where(name, root), verify)


def _folders(base: Path, name: str) -> Iterator[Path]:
    """Our own place first, then the root itself, then where torchvision puts it."""
    yield from (base / name, base, base / "MNIST" / "raw" if name == "mnist" else base)


def _holds(folder: Path, known: KnownSet) -> bool:
    names = {file.name for file in known.files} | set(_EXTRACTED.get(known.name, ()))
    return any((folder / name).exists() for name in names)


def _official(folder: Path, files: tuple[SourceFile, ...], verify: bool) -> Path:
    """The folder, once no packed file in it has another checksum than the official one."""
    for file in files if verify else ():
        state = _state(file, folder / file.name)
        if state.state == "wrong checksum":
            raise UserError(
                f"{state.path} has md5 {state.found_md5}, the official {file.name} has {file.md5}; "
                "remove it and get it again, or load it as a file of your own"
            )
    return folder


def _state(file: SourceFile, path: Path) -> FileState:
    if not path.is_file():
        return FileState(file=file, path=path, state="missing")
    found = md5_of(path)
    return FileState(
        file=file, path=path, state="verified" if found == file.md5 else "wrong checksum", found_md5=found
    )


_MNIST_ADDRESS = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_MNIST_FILES = (
    ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
    ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432", 28_881),
    ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", 1_648_877),
    ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c", 4_542),
)
_EXTRACTED = {
    "mnist": tuple(name.removesuffix(".gz") for name, _, _ in _MNIST_FILES),
    "cifar10": (
        cifar10.BINARY_ARCHIVE, "cifar-10-batches-py", "cifar-10-batches-bin", "data_batch_1",
        "data_batch_1.bin",
    ),
}  # fmt: skip
_PNEUMONIA = {
    28: ("28209eda62fecd6e6a2d98b1501bb15f", 4_170_669),
    64: ("8f4eceb4ccffa70c672198ea285246c6", 20_600_000),
    128: ("05b46931834c231683c68f40c47b2971", None),
    224: ("d6a3c71de1b945ea11211b03746c1fe1", 214_384_716),
}


def _digits() -> KnownSet:
    return KnownSet(
        name="digits",
        description="1,797 handwritten digits, 8 x 8 grey, ten classes; part of scikit-learn, one split",
        licence="CC BY 4.0",
        source="Alpaydin & Kaynak 1998, archive.ics.uci.edu/dataset/80",
        files=(),
        load=lambda folder, verify: load_digits(),
    )


def _mnist() -> KnownSet:
    files = tuple(
        SourceFile(name=name, address=_MNIST_ADDRESS + name, md5=md5, num_bytes=size)
        for name, md5, size in _MNIST_FILES
    )
    digits = [str(digit) for digit in range(10)]
    return KnownSet(
        name="mnist",
        description="60,000 + 10,000 handwritten digits, 28 x 28 grey, ten classes",
        licence="CC BY-SA 3.0",
        source="LeCun, Cortes & Burges, yann.lecun.com/exdb/mnist; files from PyTorch's mirror",
        files=files,
        load=lambda folder, verify: load_idx(
            _official(folder, files, verify), name="mnist", class_names=digits
        ),
    )


def _cifar10() -> KnownSet:
    return KnownSet(
        name="cifar10",
        description="50,000 + 10,000 photographs, 32 x 32 colour, ten classes",
        licence="none stated; cite Krizhevsky 2009",
        source="Krizhevsky 2009, www.cs.toronto.edu/~kriz/cifar.html",
        files=(
            SourceFile(
                name=cifar10.PYTHON_ARCHIVE,
                address=f"https://www.cs.toronto.edu/~kriz/{cifar10.PYTHON_ARCHIVE}",
                md5=cifar10.PYTHON_MD5,
                num_bytes=170_498_071,
            ),
        ),
        load=lambda folder, verify: load_cifar10(folder, verify=verify),
    )


def _pneumonia(size: int) -> KnownSet:
    md5, num_bytes = _PNEUMONIA[size]
    stem = "pneumoniamnist" if size == 28 else f"pneumoniamnist_{size}"
    address = f"https://zenodo.org/records/10519652/files/{stem}.npz?download=1"
    files = (SourceFile(name=f"{stem}.npz", address=address, md5=md5, num_bytes=num_bytes),)
    return KnownSet(
        name=stem,
        description=f"4,708 + 524 + 624 chest X-rays of children, {size} x {size} grey, normal or pneumonia",
        licence="CC BY 4.0",
        source="Yang et al. 2023 (MedMNIST v2) after Kermany et al. 2018, zenodo.org/records/10519652",
        files=files,
        load=lambda folder, verify: load_npz(
            _official(folder, files, verify) / f"{stem}.npz", name=stem, class_names=("normal", "pneumonia")
        ),
    )


CATALOG = {known.name: known for known in (_digits(), _mnist(), _cifar10(), *map(_pneumonia, _PNEUMONIA))}
