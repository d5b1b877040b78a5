"""Files are read whole and without running what is in them, or refused in one sentence."""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from detr_d2.checkpoint.safe_load import read_checkpoint, weights_and_rest
from detr_d2.checkpoint.safetensors_file import save_safetensors


def weights_of(checkpoint: dict[str, Any], source: str) -> dict[str, Tensor]:
    return weights_and_rest(checkpoint, source)[0]


ARRAYS: dict[str, np.ndarray] = {
    "float": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.arange(4, dtype=np.float16),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "permuted": np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
    "big endian": np.arange(3, dtype=">f4"),
    "empty": np.zeros((0, 4), np.float32),
    "flags": np.array([True, False]),
}


class Malicious:
    """Would make a file when it is unpickled."""

    def __init__(self, target: Path):
        self.target = str(target)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (self.target,)


def refused(path: Path, match: str) -> str:
    with pytest.raises(ValueError, match=match) as error:
        read_checkpoint(str(path))
    text = str(error.value)
    assert text.startswith(f"checkpoint {path} ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_arrays_come_back(tmp_path: Path, protocol: int) -> None:
    data = {
        "model": OrderedDict(ARRAYS),
        "__author__": "someone",
        "nested": [(1, 2.5, None, b"bytes"), {"scalar": np.float32(1.5)}, {1, 2}],
    }
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(data, protocol))
    read = read_checkpoint(str(tmp_path / "x.pkl"))
    assert read["nested"] == data["nested"]
    for name, array in ARRAYS.items():
        assert read["model"][name].dtype == pickle.loads(pickle.dumps(array, protocol)).dtype
        np.testing.assert_array_equal(read["model"][name], array)
    again = pickle.loads(pickle.dumps(read["model"]))  # by whoever saves it again
    assert {type(array) for array in again.values()} == {np.ndarray}
    tensors = weights_of(read, "x.pkl")
    assert all(np.array_equal(tensors[name].numpy(), array) for name, array in ARRAYS.items())


def test_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    # What Python 2.7 wrote for {"model": {"w": np.array([1, 2], "f4")}, "__author__": "x"} with protocol 0.
    (tmp_path / "old.pkl").write_bytes(
        b"(dp0\nS'model'\np1\n(dp2\nS'w'\np3\ncnumpy.core.multiarray\n_reconstruct\np4\n(cnumpy\nndarray\np5\n"
        b"(I0\ntp6\nS'b'\np7\ntp8\nRp9\n(I1\n(I2\ntp10\ncnumpy\ndtype\np11\n(S'f4'\np12\nI0\nI1\ntp13\nRp14\n"
        b"(I3\nS'<'\np15\nNNNI-1\nI-1\nI0\ntp16\nbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00@'\np17\ntp18\nbs"
        b"sS'__author__'\np19\nS'x'\np20\ns."
    )
    read = read_checkpoint(str(tmp_path / "old.pkl"))
    np.testing.assert_array_equal(read["model"]["w"], np.array([1, 2], "f4"))


def test_pickles_without_an_author_are_caffe2s(tmp_path: Path) -> None:
    blobs = {"conv1_w": np.ones(2), "conv1_w_momentum": np.ones(2)}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"blobs": blobs}))
    read = read_checkpoint(str(tmp_path / "x.pkl"))
    assert read["model"].keys() == {"conv1_w"}
    assert (read["__author__"], read["matching_heuristics"]) == ("Caffe2", True)


def test_files_of_pycls_have_their_weights_under_a_key_of_their_own(tmp_path: Path) -> None:
    path, state = tmp_path / "x.pyth", {"w": torch.ones(2), "bn.num_batches_tracked": torch.ones(1)}
    torch.save({"model_state": state, "epoch": 3}, path)
    read = read_checkpoint(str(path))
    assert read["model"].keys() == {"w"}
    assert (read["__author__"], read["matching_heuristics"]) == ("pycls", True)
    # Without the key it is somebody else's file, not a damaged one.
    torch.save({"model": state}, path)
    assert read_checkpoint(str(path)).keys() == {"model"}


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".bin", ".pyth"])
def test_code_in_a_file_is_not_run(tmp_path: Path, suffix: str, protocol: int) -> None:
    path, made = tmp_path / f"bad{suffix}", tmp_path / "made"
    data = {"model": {"w": np.ones(2)}, "__author__": Malicious(made)}
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps(data, protocol))
        assert "mkdir" in refused(path, "could run code")
    else:
        torch.save({"model": {"w": torch.ones(2)}, "model_state": {}, "args": Malicious(made)}, path)
        refused(path, "objects other than tensors and plain data, which could run code")
    assert not made.exists()


@pytest.mark.parametrize(
    ("code", "match"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system|posix.system|could run code"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
        (b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
        (b"c_codecs\nencode\n(S'x'\nS'idna'\ntR.", "encoding 'idna'"),
        # Bytes that are taken for pointers: an array of objects, and one hidden in a field.
        (b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR.", "type 'O8', not of numbers"),
        (b"cnumpy\ndtype\n(S'i8'\nI0\nI1\ntR(I3\nS'|'\nN(S'a'\nt(dI8\nI1\nI0\ntb.", "with fields"),
        (b"S'elsewhere'\nQ.", "outside of the file"),
    ],
)
def test_pickles_that_name_anything_else_are_refused(tmp_path: Path, code: bytes, match: str) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(code)
    refused(path, match)


def test_an_array_smaller_than_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.pkl"
    whole = pickle.dumps({"model": {"w": np.arange(8.0)}, "__author__": ""}, 2)
    assert whole.count(b"K\x08\x85") == 1  # the shape (8,)
    path.write_bytes(whole.replace(b"K\x08\x85", b"K\x09\x85"))
    refused(path, "is damaged")


def test_the_command_line_of_the_published_trainer_is_plain_data(tmp_path: Path) -> None:
    args = argparse.Namespace(lr=1e-4, masks=False, output_dir="")
    torch.save({"model": {"w": torch.ones(2)}, "args": args}, tmp_path / "x.pth")
    before = set(torch.serialization.get_safe_globals())
    assert read_checkpoint(str(tmp_path / "x.pth"))["args"] == args
    assert set(torch.serialization.get_safe_globals()) == before, "loading elsewhere is as strict as before"


class Stray:
    """Of a class that only its program knows."""


@pytest.mark.parametrize("legacy", [False, True])
def test_numpy_numbers_arrays_and_paths_beside_the_weights_are_plain_data(
    tmp_path: Path, legacy: bool
) -> None:
    data = {
        "model": OrderedDict(a=torch.ones(2), b=np.ones(2, np.float32)),
        "best": np.float64(41.5),
        "step": np.int64(7),
        "dtype": np.dtype("f4"),
        "history": [(np.float32(1.5), np.arange(3)), {"array": np.arange(2)}],
        "args": argparse.Namespace(output=Path("runs/one"), rate=np.float64(0.1)),
        "windows": PureWindowsPath("C:/runs"),
    }
    torch.save(data, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    read = read_checkpoint(str(tmp_path / "x.pth"))
    assert (read["best"], read["step"], read["dtype"]) == (41.5, 7, np.dtype("f4"))
    assert read["history"][0][0] == 1.5
    np.testing.assert_array_equal(read["history"][0][1], [0, 1, 2])
    np.testing.assert_array_equal(read["history"][1]["array"], [0, 1])
    assert vars(read["args"]) == {"output": "runs/one", "rate": 0.1}
    assert read["windows"] == "C:\\runs"
    assert isinstance(read["model"], OrderedDict)
    assert weights_of(read, "x")["b"].tolist() == [1, 1]


def test_the_versions_of_modules_are_kept(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.BatchNorm2d(2).state_dict()}, tmp_path / "x.pth")
    assert read_checkpoint(str(tmp_path / "x.pth"))["model"]._metadata[""]["version"] == 2


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("what", ["model", "beside", "object array"])
def test_other_objects_are_refused_by_their_class_with_a_way_out(
    tmp_path: Path, legacy: bool, what: str
) -> None:
    path, weights = tmp_path / "x.pth", {"w": torch.ones(2)}
    data: Any = {
        "model": torch.nn.Linear(2, 3),
        "beside": {"model": weights, "callback": Stray()},
        "object array": {"model": weights, "names": np.array([Stray()], dtype=object)},
    }[what]
    torch.save(data, path, _use_new_zipfile_serialization=not legacy)
    named = "torch.nn.modules.linear.Linear" if what == "model" else f"{Stray.__module__}.Stray"
    text = refused(path, "could run code")
    assert named in text
    # The way out is a command that works, for who trusts the file.
    code = text.partition('python -c "')[2].removesuffix('"')
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=120, check=True, env=_with_tests())
    assert weights_of(read_checkpoint(str(tmp_path / "weights.pth")), "x").keys() <= {"w", "weight", "bias"}


def _with_tests() -> dict[str, str]:
    """The environment of a process that can import this module."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_programs_are_refused_as_such(tmp_path: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 3), torch.ones(1, 2)).save(str(tmp_path / "x.pt"))
    assert "__torch__." in refused(tmp_path / "x.pt", "could run code")


def test_a_bit_that_changed_on_the_disk_is_found(tmp_path: Path) -> None:
    path, values = tmp_path / "x.pth", torch.arange(1000.0)
    torch.save({"w": values}, path)
    content = bytearray(path.read_bytes())
    content[content.find(values[500:510].numpy().tobytes())] ^= 1
    path.write_bytes(content)
    refused(path, "is damaged: the checksum of .* is wrong")


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.arange(3.0)}, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_checkpoint(str(tmp_path / "x.pth"))["w"].tolist() == [0, 1, 2]


def test_class_names_beside_safetensors_come_back(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    base = torch.arange(12.0).reshape(3, 4)
    metadata = {"thing_classes": ["a", "b"], "best": {"value": 1.5}}
    save_safetensors(str(tmp_path / "x.safetensors"), {"w": base.T, "same": base}, metadata)
    read = read_checkpoint(str(tmp_path / "x.safetensors"))
    assert torch.equal(read["model"]["w"], base.T)
    assert torch.equal(read["model"]["same"], base)
    assert read["metadata"] == metadata


def write(path: Path, weights: dict[str, Tensor]) -> None:
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(weights, path)
    elif path.suffix == ".pkl":
        arrays = {name: value.numpy() for name, value in weights.items()}
        path.write_bytes(pickle.dumps({"model": arrays, "__author__": "x"}))
    else:
        torch.save(weights, path)


@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".safetensors"])
def test_cut_empty_and_foreign_files_are_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    weights = {"a.weight": torch.randn(4, 5), "a.bias": torch.randn(4)}
    write(path, weights)
    assert torch.equal(weights_of(read_checkpoint(str(path)), "x")["a.weight"], weights["a.weight"])
    whole = path.read_bytes()
    for length in {1, 7, len(whole) // 3, len(whole) // 2, len(whole) - 1}:
        path.write_bytes(whole[:length])
        refused(path, "is damaged")
    path.write_bytes(b"")
    refused(path, "is damaged: the file is empty")
    path.write_text("<html>404</html>")
    refused(path, "is damaged")
    with pytest.raises(FileNotFoundError, match=r"checkpoint away\.pth does not exist"):
        read_checkpoint(str(tmp_path / "none.pth"), "away.pth")


def test_safetensors_is_asked_for_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"bytes")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    refused(tmp_path / "x.safetensors", "needs the package safetensors: pip install safetensors")


def test_files_without_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="x holds no weights by name: it is empty"):
        weights_of({"model": {}}, "x")
    with pytest.raises(ValueError, match="x holds no weights by name: epoch is no tensor"):
        weights_of({"model": {"w": torch.ones(1), "epoch": 3}}, "x")
    with pytest.raises(ValueError, match="x holds no weights by name: 7 is no tensor"):
        weights_of({7: torch.ones(1)}, "x")  # type: ignore[dict-item]


@pytest.mark.parametrize("key", ["model", "state_dict", None])
def test_weights_are_found_and_unwrapped(key: str | None) -> None:
    weights = {"module.a": torch.ones(1), "module.b": torch.ones(1)}
    assert weights_of(weights if key is None else {key: weights}, "x").keys() == {"a", "b"}
    assert weights_of({"module.a": torch.ones(1), "b": torch.ones(1)}, "x").keys() == {"module.a", "b"}
