"""Every container read back from files made by hand, and every damaged one refused with one line."""

import gzip
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from epochal.core.values.errors import UserError
from epochal.tasks.datasets import catalog, cifar10
from epochal.tasks.datasets.cifar10 import load_cifar10
from epochal.tasks.datasets.digits import load_digits
from epochal.tasks.datasets.idx import load_idx
from epochal.tasks.datasets.image_set import Examples, ImageSet
from epochal.tasks.datasets.npz import load_npz

DRAWN = np.random.default_rng(0)
Arrays = dict[str, Any]


def grey(count: int, size: int = 4) -> Any:
    return DRAWN.integers(0, 256, (count, size, size), dtype=np.uint8)


def refused(read: Callable[[], object], *parts: str) -> None:
    """One line that says all of this."""
    with pytest.raises(UserError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def medmnist(**changes: Any) -> Arrays:
    """A whole container with column labels; a change to None leaves an array out."""
    arrays: Arrays = {}
    for split, count in (("train", 6), ("val", 3), ("test", 2)):
        arrays[f"{split}_images"] = grey(count)
        arrays[f"{split}_labels"] = (np.arange(count) % 2)[:, None]
    return {name: value for name, value in (arrays | changes).items() if value is not None}


def saved(folder: Path, arrays: Arrays) -> Path:
    np.savez(folder / "set.npz", **arrays)
    return folder / "set.npz"


def test_an_npz_is_read_with_its_splits(tmp_path: Path) -> None:
    arrays = medmnist()
    read = load_npz(saved(tmp_path, arrays), name="mine", class_names=("normal", "pneumonia"))
    assert (read.name, read.num_classes, read.image_shape) == ("mine", 2, (4, 4, 1))
    for split in ("train", "val", "test"):
        images, labels = read.splits[split]
        assert np.array_equal(images[..., 0], arrays[f"{split}_images"]) and images.dtype == np.uint8
        assert labels.tolist() == arrays[f"{split}_labels"][:, 0].tolist() and labels.dtype == np.int64


def test_an_npz_may_be_in_colour_have_flat_labels_and_no_val(tmp_path: Path) -> None:
    images = DRAWN.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    arrays = {"train_images": images, "train_labels": np.array([0, 1, 2, 0, 1, 2], np.uint8)}
    read = load_npz(saved(tmp_path, arrays))
    assert list(read.splits) == ["train"] and read.class_names == ("0", "1", "2")
    assert np.array_equal(read.splits["train"].images, images)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"train_images": None, "train_labels": None}, ("no train_images",)),
        ({"val_labels": None}, ("no val_labels", "found train_images")),
        ({"train_images": np.zeros((6, 4, 4))}, ("float64", "expected uint8")),
        ({"train_images": np.zeros((6, 16), np.uint8)}, ("shape (6, 16)", "(N, H, W)")),
        ({"train_images": np.zeros((6, 4, 4, 2), np.uint8)}, ("shape (6, 4, 4, 2)", "C 1 or 3")),
        ({"val_images": np.zeros((3, 5, 5), np.uint8)}, ("val split", "(5, 5, 1)", "(4, 4, 1)")),
        ({"train_labels": np.zeros((5, 1), np.int64)}, ("6 images but 5 labels",)),
        ({"train_labels": np.zeros((6, 14), np.int64)}, ("shape (6, 14)", "one class per image")),
        ({"train_labels": np.zeros((6, 1))}, ("float64", "whole numbers")),
        ({"train_labels": np.full((6, 1), 2)}, ("label 2 (6 out of range)", "from 0 to 1")),
        ({"test_labels": np.full((2, 1), -1)}, ("test split", "label -1")),
        ({"val_images": grey(0), "val_labels": np.zeros((0, 1), np.int64)}, ("val split", "is empty")),
        ({"train_labels": np.array([[0, "a"]] * 6, dtype=object)}, ("Python objects", "may run code")),
    ],
)  # fmt: skip
def test_a_wrong_npz_is_refused(tmp_path: Path, changes: Arrays, parts: tuple[str, ...]) -> None:
    path = saved(tmp_path, medmnist(**changes))
    refused(lambda: load_npz(path, class_names=("normal", "pneumonia")), *parts)


def test_a_missing_truncated_or_foreign_npz_is_refused(tmp_path: Path) -> None:
    refused(lambda: load_npz(tmp_path / "none.npz"), "does not exist")
    path = saved(tmp_path, medmnist())
    path.write_bytes(path.read_bytes()[:300])
    refused(lambda: load_npz(path), "no readable .npz")
    path.write_bytes(b"plainly a text")
    refused(lambda: load_npz(path), "no readable .npz")
    np.save(tmp_path / "one.npy", grey(2))
    refused(lambda: load_npz(tmp_path / "one.npy"), "holds one array")


def idx(array: Any) -> bytes:
    magic = bytes([0, 0, 8, array.ndim])
    return bytes(magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def mnist(folder: Path) -> dict[str, Any]:
    """Four official names, the test files plain."""
    arrays = {
        "train-images-idx3-ubyte": grey(5), "train-labels-idx1-ubyte": np.arange(5, dtype=np.uint8),
        "t10k-images-idx3-ubyte": grey(3), "t10k-labels-idx1-ubyte": np.arange(3, dtype=np.uint8),
    }  # fmt: skip
    for name, array in arrays.items():
        if name.startswith("train"):
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    return arrays


def test_idx_files_are_read_gzipped_or_plain(tmp_path: Path) -> None:
    arrays = mnist(tmp_path)
    read = load_idx(tmp_path, name="mine", class_names=[str(digit) for digit in range(10)])
    assert sorted(read.splits) == ["test", "train"] and read.num_classes == 10
    for split, stem in (("train", "train"), ("test", "t10k")):
        assert np.array_equal(read.splits[split].images[..., 0], arrays[f"{stem}-images-idx3-ubyte"])
        assert np.array_equal(read.splits[split].labels, arrays[f"{stem}-labels-idx1-ubyte"])


@pytest.mark.parametrize(
    ("name", "change", "parts"),
    [
        ("t10k-images-idx3-ubyte", lambda data: data[:-1], ("truncated", "47 bytes", "expected 48")),
        ("t10k-images-idx3-ubyte", lambda data: data + b"\0", ("too long", "49 bytes")),
        ("t10k-images-idx3-ubyte", lambda data: data[:9], ("within its header", "9 of 16")),
        ("t10k-images-idx3-ubyte", lambda data: b"", ("starts with 0x", "0x00000803")),
        ("t10k-images-idx3-ubyte", lambda data: b"\0\0\x0d\x03" + data[4:], ("0x00000d03", "0x00000803")),
        ("t10k-labels-idx1-ubyte", lambda data: b"\0\0\x08\x03" + data[4:], ("0x00000803", "0x00000801")),
        ("t10k-labels-idx1-ubyte", lambda data: idx(np.arange(2, dtype=np.uint8)), ("3 images but 2",)),
        ("t10k-labels-idx1-ubyte", lambda data: idx(np.full(3, 10, np.uint8)), ("label 10", "0 to 9")),
        ("train-images-idx3-ubyte.gz", lambda data: data[:-12], ("truncated gzip",)),
        ("train-images-idx3-ubyte.gz", lambda data: data[:15] + b"\xff" + data[16:], ("damaged",)),
    ],
)  # fmt: skip
def test_a_wrong_idx_file_is_refused(
    tmp_path: Path, name: str, change: Callable[[bytes], bytes], parts: tuple[str, ...]
) -> None:
    mnist(tmp_path)
    path = tmp_path / name
    path.write_bytes(change(path.read_bytes()))
    refused(lambda: load_idx(tmp_path, class_names=[str(digit) for digit in range(10)]), *parts)


def test_a_missing_idx_file_is_named(tmp_path: Path) -> None:
    mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    refused(lambda: load_idx(tmp_path), "no t10k-labels-idx1-ubyte", "train-images-idx3-ubyte.gz")


class Python2Pickler(pickle._Pickler):
    """Writes as the official files were written: protocol 2, bytes as strings of Python 2."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, given: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(given)) + given)  # type: ignore[attr-defined]

    dispatch[bytes] = save_string


def pickled(content: Any, *, python2: bool) -> bytes:
    if not python2:
        return pickle.dumps(content, protocol=2)
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(content)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def batches(count: int = 7) -> dict[str, tuple[Any, list[int]]]:
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    return {
        name: (
            DRAWN.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8),
            DRAWN.integers(0, 10, count).tolist(),
        )
        for name in names
    }


def python_layout(content: dict[str, tuple[Any, list[int]]], *, python2: bool = True) -> dict[str, bytes]:
    key: Callable[[str], Any] = str.encode if python2 else str
    return {
        name: pickled(
            {
                key("batch_label"): key(name),
                key("labels"): labels,
                key("data"): images.reshape(len(labels), -1),
            },
            python2=python2,
        )
        for name, (images, labels) in content.items()
    }


def binary_layout(content: dict[str, tuple[Any, list[int]]]) -> dict[str, bytes]:
    return {
        f"{name}.bin": b"".join(
            bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True)
        )
        for name, (images, labels) in content.items()
    }


def packed(path: Path, folder: str, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def extracted(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_all_layouts_of_cifar10_give_the_same_set(tmp_path: Path) -> None:
    content = batches()
    python2, python3 = python_layout(content), python_layout(content, python2=False)
    binary = binary_layout(content)
    assert b"cnumpy.core.multiarray\n_reconstruct" in python2["test_batch"]
    assert b"c_codecs\nencode" in python3["test_batch"]
    places = [
        packed(tmp_path / cifar10.PYTHON_ARCHIVE, "cifar-10-batches-py", python2),
        packed(tmp_path / cifar10.BINARY_ARCHIVE, "cifar-10-batches-bin", binary),
        extracted(tmp_path / "cifar-10-batches-py", python3),
        extracted(tmp_path / "bin", binary),
    ]
    read = [load_cifar10(place, verify=False, images_per_batch=7) for place in places]
    assert len({one.checksum for one in read}) == 1
    train, test = read[0].splits["train"], read[0].splits["test"]
    wanted = np.concatenate([content[f"data_batch_{number}"][0] for number in range(1, 6)])
    assert np.array_equal(train.images, wanted.transpose(0, 2, 3, 1)) and train.images.shape[1:] == (
        32,
        32,
        3,
    )
    assert train.labels.tolist() == [
        label for number in range(1, 6) for label in content[f"data_batch_{number}"][1]
    ]
    assert np.array_equal(test.images[2, 5, 9], content["test_batch"][0][2, :, 5, 9])
    # A folder that holds several: the packed python layout comes first.
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"damaged")
    assert load_cifar10(tmp_path, verify=False, images_per_batch=7).checksum == read[0].checksum


def test_the_checksum_of_an_official_archive_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(tmp_path / cifar10.PYTHON_ARCHIVE, "x", python_layout(batches()))
    found = hashlib.md5(path.read_bytes()).hexdigest()
    refused(lambda: load_cifar10(tmp_path), f"md5 {found}", "c58f30108f718f92721af3b95e74349a")
    path.write_bytes(path.read_bytes()[:50_000])
    refused(lambda: load_cifar10(path, verify=False), "damaged or truncated archive")


class Malicious:
    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("call", [os.system, eval, getattr, subprocess.Popen, np.load, np.fromfile])
def test_a_pickle_that_wants_code_is_refused_before_it_runs(tmp_path: Path, call: Callable[..., Any]) -> None:
    files = python_layout(batches(2))
    witness = tmp_path / "ran"
    arguments = (f"open({str(witness)!r}, 'w')",) if call is eval else (f"touch {witness}",)
    files["data_batch_3"] = pickled({"data": Malicious(call, *arguments)}, python2=False)
    folder = extracted(tmp_path / "x", files)
    refused(lambda: load_cifar10(folder, images_per_batch=2), "data_batch_3 wants to use", call.__name__)
    assert not witness.exists()


def test_a_pickle_may_not_decode_with_any_codec(tmp_path: Path) -> None:
    import codecs

    files = python_layout(batches(2))
    files["test_batch"] = pickled(Malicious(codecs.encode, "a", "rot13"), python2=False)
    folder = extracted(tmp_path / "x", files)
    refused(lambda: load_cifar10(folder, images_per_batch=2), "test_batch wants to use the codec rot13")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ([1, 2], ("holds a list", "expected a dictionary")),
        ({"labels": [1, 2]}, ("no uint8 array 'data'",)),
        ({"data": np.zeros((2, 3072)), "labels": [1, 2]}, ("no uint8 array 'data'",)),
        ({"data": np.zeros((2, 3071), np.uint8), "labels": [1, 2]}, ("(2, 3071)",)),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": ["a", "b"]}, ("no list 'labels'",)),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, ("2 images but 1 labels",)),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1, 10]}, ("label 10", "0 to 9")),
        ({"data": np.zeros((3, 3072), np.uint8), "labels": [1, 2, 3]}, ("3 images, expected 2",)),
    ],
)
def test_a_wrong_python_batch_is_refused(tmp_path: Path, content: Any, parts: tuple[str, ...]) -> None:
    files = python_layout(batches(2)) | {"data_batch_2": pickled(content, python2=False)}
    folder = extracted(tmp_path / "x", files)
    refused(lambda: load_cifar10(folder, images_per_batch=2), *parts)


def test_damaged_and_incomplete_cifar10_is_refused(tmp_path: Path) -> None:
    python, binary = python_layout(batches(2)), binary_layout(batches(2))
    folder = extracted(tmp_path / "python", python | {"data_batch_2": python["data_batch_2"][:-100]})
    refused(lambda: load_cifar10(folder, images_per_batch=2), "data_batch_2 is a damaged or truncated pickle")
    (folder / "data_batch_2").unlink()
    refused(lambda: load_cifar10(folder, images_per_batch=2), "cannot read", "data_batch_2")
    folder = extracted(tmp_path / "binary", binary | {"test_batch.bin": binary["test_batch.bin"][:-1]})
    refused(lambda: load_cifar10(folder, images_per_batch=2), "6145 bytes", "multiple of 3073")
    (folder / "test_batch.bin").write_bytes(binary["test_batch.bin"][:3073])
    refused(lambda: load_cifar10(folder, images_per_batch=2), "1 images, expected 2")
    (folder / "test_batch.bin").write_bytes(b"\x0a" + binary["test_batch.bin"][1:])
    refused(lambda: load_cifar10(folder, images_per_batch=2), "label 10")
    del python["test_batch"]
    path = packed(tmp_path / cifar10.PYTHON_ARCHIVE, "x", python)
    refused(lambda: load_cifar10(path, verify=False, images_per_batch=2), "lacks test_batch")
    refused(lambda: load_cifar10(tmp_path / "nowhere"), "no CIFAR-10 at", "epochal data get cifar10")


def test_digits_are_whole_and_scaled() -> None:
    read = load_digits()
    images, labels = read.splits["train"]
    assert list(read.splits) == ["train"] and images.shape == (1797, 8, 8, 1) and read.num_classes == 10
    assert (images.min(), images.max()) == (0, 255) and len(np.unique(images)) == 17
    assert images[0, 0, :, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0], "0 0 5 13 9 1 0 0 of 16"
    assert labels[:10].tolist() == list(range(10))


def test_the_checksum_is_that_of_the_content() -> None:
    images, labels = grey(4)[..., None], np.array([0, 1, 0, 1])

    def checksum(images: Any, labels: Any, split: str = "test", name: str = "a") -> str:
        both = {"train": Examples(images, labels), split: Examples(images, labels)}
        return ImageSet(name=name, splits=both, class_names=("x", "y")).checksum

    same = checksum(images, labels)
    assert same == checksum(images.copy(order="F"), labels, name="b")
    other = images.copy()
    other[0, 0, 0] ^= 1
    different = {checksum(other, labels), checksum(images, 1 - labels), checksum(images, labels, "val")}
    assert len(different | {same}) == 4


def test_the_root_is_the_argument_then_the_variable_then_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHAL_DATA", str(tmp_path / "variable"))
    assert catalog.where("mnist", tmp_path / "given") == tmp_path / "given" / "mnist"
    assert catalog.where("mnist") == tmp_path / "variable" / "mnist"
    monkeypatch.delenv("EPOCHAL_DATA")
    assert catalog.where("mnist") == Path("data/mnist")


def test_the_catalogue_finds_and_verifies(tmp_path: Path) -> None:
    names = [known.name for known in catalog.listing()]
    assert names == sorted(names) and {"cifar10", "digits", "mnist", "pneumoniamnist_224"} <= set(names)
    for known in catalog.listing():
        assert known.description and known.licence and known.source
        for file in known.files:
            assert file.address.startswith("https://") and len(file.md5) == 32 and file.name in file.address
    refused(lambda: catalog.find("cifar"), "no data set 'cifar'", "cifar10")
    assert catalog.verify("digits") == () and catalog.load("digits").size("train") == 1797

    refused(
        lambda: catalog.load("mnist", tmp_path),
        f"`epochal data get mnist --root {tmp_path}` fetches",
        "train-images-idx3-ubyte.gz",
    )
    assert [state.state for state in catalog.verify("mnist", tmp_path)] == ["missing"] * 4
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    mnist(tmp_path / "MNIST" / "raw")
    assert catalog.where("mnist", tmp_path) == tmp_path / "MNIST" / "raw", "where torchvision puts it"
    assert catalog.load("mnist", tmp_path, verify=False).size("test") == 3
    refused(lambda: catalog.load("mnist", tmp_path), "train-images-idx3-ubyte.gz has md5", "f68b3c2dcbeaaa9")
    assert [state.state for state in catalog.verify("mnist", tmp_path)] == [
        "wrong checksum", "wrong checksum", "missing", "missing",
    ]  # fmt: skip


def test_the_catalogue_refuses_a_medmnist_file_that_is_not_the_official_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "pneumoniamnist.npz", **medmnist())
    official = "28209eda62fecd6e6a2d98b1501bb15f"
    refused(lambda: catalog.load("pneumoniamnist", tmp_path), "pneumoniamnist.npz has md5", official)
    read = catalog.load("pneumoniamnist", tmp_path, verify=False)
    assert read.class_names == ("normal", "pneumonia") and read.size("val") == 3
    packed(tmp_path / cifar10.PYTHON_ARCHIVE, "x", python_layout(batches(2)))
    refused(lambda: catalog.load("cifar10", tmp_path), "has md5", cifar10.PYTHON_MD5)
    refused(lambda: catalog.load("cifar10", tmp_path, verify=False), "2 images, expected 10000")


def test_reading_needs_no_torch() -> None:
    code = (
        "import sys; from epochal.tasks.datasets import catalog, download; catalog.load('digits'); "
        "print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


REAL = os.environ.get("EPOCHAL_DATA")
needs_data = pytest.mark.skipif(not REAL, reason="set EPOCHAL_DATA to a folder of image sets to run this")


@needs_data
def test_real_images_are_read() -> None:
    assert REAL
    path = Path(REAL) / "pneumoniamnist_subset.npz"
    if not path.exists():
        pytest.skip(f"put {path.name} into EPOCHAL_DATA to run this")
    read = load_npz(path, class_names=("normal", "pneumonia"))
    assert [read.size(split) for split in ("train", "val", "test")] == [3882, 524, 624]
    assert np.bincount(read.splits["val"].labels).tolist() == [135, 389], "the official val split"
    assert np.bincount(read.splits["test"].labels).tolist() == [234, 390], "the official test split"
