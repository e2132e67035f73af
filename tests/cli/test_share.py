"""pack, unpack, export: what arrives is what was there, and a file from elsewhere does no harm."""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
import torch

import epochal
from epochal.store.archive import pack, unpack
from epochal.store.lock import acquire, release
from tests.cli.conftest import TINY, Call, Have


@pytest.fixture
def made(have: Have) -> Path:
    return have("algorithmic", *TINY, "seed=0:2", "snapshot_every=10")


def test_there_and_back_again(call: Call, runs: Path, made: Path, tmp_path: Path) -> None:
    (made / "log.txt").write_text(f"damaged: {made.resolve()}/resume/x, data in /home/someone/set.npz, 1/2\n")
    archive, elsewhere = tmp_path / "run.tar.gz", tmp_path / "elsewhere"
    ended = call("pack", made.name, "-o", str(archive))
    assert ended.code == 0 and hashlib.sha256(archive.read_bytes()).hexdigest() in ended.out
    assert "replaced /home/someone/set.npz by set.npz" in ended.err
    with tarfile.open(archive) as file:
        names = file.getnames()
        assert names == sorted(names, key=lambda name: Path(name).parts)
        assert all(name.startswith(f"{made.name}/") for name in names)
        assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in file} == {(0, 0, 0, "")}
    assert call("unpack", str(archive), "--runs", str(elsewhere)).code == 0
    there = elsewhere / made.name
    text = "".join(path.read_text() for path in there.rglob("*") if path.suffix in (".json", ".txt", ".html"))
    assert str(runs) not in text and "/home/someone" not in text
    assert (there / "log.txt").read_text() == "damaged: resume/x, data in set.npz, 1/2\n"
    kept = {p.relative_to(made) for p in made.rglob("*") if p.is_file() and "resume" not in p.parts}
    assert {p.relative_to(there) for p in there.rglob("*") if p.is_file()} == kept - {Path("lock")}
    for name in kept - {Path("lock"), Path("log.txt")}:
        assert (there / name).read_bytes() == (made / name).read_bytes(), name

    assert epochal.load(there).metrics.equals(epochal.load(made).metrics)
    assert call("report", str(there)).code == 0
    again = call("run", "algorithmic", *TINY, "seed=0:2", "snapshot_every=10", "--runs", str(elsewhere))
    assert again.code == 0 and "steps, into" not in again.err, "the same request returns it"
    ended = call("unpack", str(archive), "--runs", str(elsewhere))
    assert ended.code == 2 and "exists already" in ended.complaint[0]


def test_the_same_run_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    first = pack(made, tmp_path / "a.tar.gz")
    for path in made.rglob("*"):
        os.utime(path, (1, 1))
    assert pack(made, tmp_path / "b.tar.gz").sha256 == first.sha256
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_an_interrupted_run_resumes_from_its_packed_states(call: Call, made: Path, tmp_path: Path) -> None:
    (made / "DONE").unlink()
    (made / "metrics.parquet").unlink()
    ended = call("pack", made.name, "-o", str(tmp_path / "without.tgz"))
    assert "will start over; --with-states keeps its states" in ended.err
    assert "will start over" not in call("pack", made.name, "--with-states", "-o", f"{tmp_path}/with.tgz").err
    for name, told in (("without", False), ("with", True)):
        there = tmp_path / name
        assert call("unpack", f"{there}.tgz", "--runs", str(there)).code == 0
        ended = call("run", "algorithmic", *TINY, "seed=0:2", "snapshot_every=10", "--runs", str(there))
        assert ended.code == 0 and ("continues after step 20" in ended.err) == told
        assert epochal.load(there / made.name).metrics.equals(epochal.load(made).metrics)


def test_what_is_not_packed(call: Call, runs: Path, made: Path, tmp_path: Path) -> None:
    lock = acquire(made / "lock")
    ended = call("pack", made.name, "-o", str(tmp_path / "x.tgz"))
    release(lock)
    assert ended.code == 2 and "is at work" in ended.complaint[0]
    spec = (made / "spec.json").read_text()
    (made / "spec.json").write_text(spec.replace('"model": "transformer"', '"model": "/home/me/mine.py:Net"'))
    ended = call("pack", made.name, "-o", str(tmp_path / "x.tgz"))
    assert ended.code == 2 and "model=/home/me/mine.py" in ended.complaint[0]
    (made / "spec.json").write_text(spec)
    (made / "figures/secret").symlink_to("/etc/passwd")
    ended = call("pack", made.name, "-o", str(tmp_path / "x.tgz"))
    assert ended.code == 2 and "is a link" in ended.complaint[0]
    assert not list(tmp_path.glob("*x.tgz*")), "nothing half-written is left"


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


@pytest.mark.parametrize(
    "bad",
    [
        entry("run/../../evil"),
        entry("/etc/evil"),
        entry("run/link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("run/link", tarfile.LNKTYPE, "run/spec.json"),
        entry("run/pipe", tarfile.FIFOTYPE),
        entry(".lock"),
        entry("..\\evil/x"),
        entry("other/spec.json"),
    ],
    ids=lambda bad: bad.name,
)
def test_a_hostile_archive_leaves_nothing(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    with tarfile.open(tmp_path / "bad.tgz", "w:gz") as file:
        good = tarfile.TarInfo("run/spec.json")
        good.size = 13
        file.addfile(good, io.BytesIO(b'{"format": 1}'))
        file.addfile(bad)
    with pytest.raises(epochal.UserError, match="archive holds"):
        unpack(tmp_path / "bad.tgz", tmp_path / "in" / "runs")
    assert [path.name for path in tmp_path.rglob("*")] and not list((tmp_path / "in/runs").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"bad.tgz", "in"}


def test_a_cut_archive_and_no_archive(call: Call, made: Path, tmp_path: Path) -> None:
    pack(made, tmp_path / "a.tgz")
    whole = (tmp_path / "a.tgz").read_bytes()
    for name, data in (("cut", whole[: len(whole) // 2]), ("none", b"hello"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        ended = call("unpack", str(tmp_path / name), "--runs", str(tmp_path / "new"))
        assert ended.code == 2 and len(ended.complaint) == 1, name
        assert not list((tmp_path / "new").iterdir())
    assert "is no file" in call("unpack", str(tmp_path / "missing")).complaint[0]


def test_an_exported_network_is_a_plain_state_dict(call: Call, made: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    ended = call("export", made.name, "--member", "1", "--step", "10", "-o", str(file))
    assert ended.code == 0 and ended.out.strip() == str(file)
    run = epochal.load(made)
    state, module = torch.load(file, weights_only=True), run.model(1, 10)
    expected = module.state_dict()
    assert type(state) is dict and state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    fresh = run.model(0, 0)
    fresh.load_state_dict(state)
    tokens = torch.tensor([[1, 2, 7]])
    assert torch.equal(fresh(tokens), module(tokens))
    assert run.export(0, None, tmp_path / "last.pt") == tmp_path / "last.pt"
    for words, message in (
        (("--member", "9"), "member=9 is not in"),
        (("--step", "7"), "no snapshot of member 0 at step 7"),
        (("-o", f"{tmp_path}/no/net.pt"), "there is no folder"),
    ):
        ended = call("export", made.name, *words)
        assert ended.code == 2 and len(ended.complaint) == 1 and message in ended.complaint[0]
