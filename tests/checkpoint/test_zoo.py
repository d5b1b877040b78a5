"""``detr://`` hands out converted files, made once, that stock Detectron2 loads."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from detectron2.utils.file_io import PathManager
from torch import nn

from detr_d2.checkpoint import DetrCheckpointer, zoo
from detr_d2.checkpoint.convert import from_detr_d2
from detr_d2.checkpoint.download import RemoteFile, fetch
from detr_d2.errors import CheckpointError
from detr_d2.model_zoo import register_weights

from ..conftest import make_tiny_config
from .file_server import FileServer


@pytest.fixture
def trained() -> nn.Module:
    return build_model(make_tiny_config())


@pytest.fixture
def content(trained: nn.Module) -> bytes:
    """The model's weights as the published trainer would write them."""
    file = io.BytesIO()
    torch.save({"model": from_detr_d2(trained.state_dict(), "published").weights}, file)
    return file.getvalue()


@pytest.fixture
def files(server: FileServer, content: bytes) -> dict[str, RemoteFile]:
    server.files["/detr/tiny.pth"] = content
    return {"tiny": RemoteFile(f"{server.url}/detr/tiny.pth", hashlib.sha256(content).hexdigest()[:8])}


@pytest.fixture(autouse=True)
def _registered(
    files: dict[str, RemoteFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    register_weights(files)
    yield
    register_weights()


def same_weights(model: nn.Module, other: nn.Module) -> bool:
    ours, theirs = model.state_dict(), other.state_dict()
    counters = {name for name in ours if name.endswith("num_batches_tracked")}
    return all(torch.equal(ours[name], theirs[name]) for name in ours.keys() - counters)


@pytest.mark.parametrize("checkpointer", [DetectionCheckpointer, DetrCheckpointer])
def test_any_checkpointer_loads_published_weights_by_name(
    checkpointer: Callable[[nn.Module], DetectionCheckpointer], trained: nn.Module
) -> None:
    model = build_model(make_tiny_config())
    assert not same_weights(model, trained)
    checkpointer(model).load("detr://tiny")
    assert same_weights(model, trained)


def test_the_file_handed_out_is_ours_and_safe(trained: nn.Module) -> None:
    path = PathManager.get_local_path("detr://tiny")
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["model"].keys() <= trained.state_dict().keys()
    with PathManager.open("detr://tiny", "rb") as file:
        assert file.read() == Path(path).read_bytes()
    assert PathManager.isfile("detr://tiny")
    assert PathManager.exists("detr://tiny")
    assert not PathManager.exists("detr://other")


def test_conversion_and_download_happen_once(server: FileServer, tmp_path: Path) -> None:
    path = Path(PathManager.get_local_path("detr://tiny"))
    before = path.stat()
    (tmp_path / "detr" / "tiny.pth").unlink()  # no longer needed
    assert PathManager.get_local_path("detr://tiny") == str(path)
    assert path.stat() == before
    assert len(server.requests) == 1


def test_another_converter_or_another_file_converts_again(
    files: dict[str, RemoteFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = PathManager.get_local_path("detr://tiny")
    monkeypatch.setattr(zoo, "CONVERTER_VERSION", zoo.CONVERTER_VERSION + 1)
    second = PathManager.get_local_path("detr://tiny")
    register_weights({"tiny": RemoteFile(files["tiny"].url, files["tiny"].sha256[:7])})
    third = PathManager.get_local_path("detr://tiny")
    assert len({first, second, third}) == 3


def test_a_conversion_that_fails_leaves_no_file(
    server: FileServer, files: dict[str, RemoteFile], tmp_path: Path
) -> None:
    server.files["/detr/tiny.pth"] = b"no checkpoint"
    digest = hashlib.sha256(b"no checkpoint").hexdigest()
    register_weights({"tiny": RemoteFile(files["tiny"].url, digest)})
    with pytest.raises(ValueError, match="checkpoint detr://tiny is damaged"):
        PathManager.get_local_path("detr://tiny")
    assert list((tmp_path / "detr_d2").glob("*.pth*")) == list((tmp_path / "detr_d2").glob("*.lock"))


def test_weights_without_a_published_hash_are_pinned_and_converted_once(
    server: FileServer, files: dict[str, RemoteFile], trained: nn.Module, tmp_path: Path
) -> None:
    register_weights({"tiny": RemoteFile(files["tiny"].url)})
    model = build_model(make_tiny_config())
    DetrCheckpointer(model).load("detr://tiny")
    assert same_weights(model, trained)
    path = PathManager.get_local_path("detr://tiny")
    (tmp_path / "detr" / "tiny.pth").unlink()  # no longer needed
    assert PathManager.get_local_path("detr://tiny") == path
    assert len(server.requests) == 1


def test_another_file_than_the_first_is_refused_and_one_that_is_accepted_is_converted_anew(
    server: FileServer, files: dict[str, RemoteFile], tmp_path: Path
) -> None:
    file = RemoteFile(files["tiny"].url)
    register_weights({"tiny": file})
    first = PathManager.get_local_path("detr://tiny")
    Path(first).unlink()
    file.cached().unlink()
    other = io.BytesIO()
    torch.save(
        {"model": from_detr_d2(build_model(make_tiny_config()).state_dict(), "published").weights}, other
    )
    server.files["/detr/tiny.pth"] = other.getvalue()
    with pytest.raises(CheckpointError, match=hashlib.sha256(other.getvalue()).hexdigest()):
        PathManager.get_local_path("detr://tiny")
    file.pin().unlink()
    assert PathManager.get_local_path("detr://tiny") != first


def test_only_files_of_known_hashes_are_published_ones(
    server: FileServer, files: dict[str, RemoteFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RemoteFile(files["tiny"].url)
    model = replace(zoo.zoo_models()[0], file=file)
    monkeypatch.setattr(zoo, "zoo_models", lambda: (model,))
    (tmp_path / "own.pth").write_bytes(b"mine")
    assert not zoo.is_published(str(tmp_path / "own.pth"))
    assert not zoo.is_published(str(tmp_path / "absent.pth"))
    assert zoo.is_published(str(fetch(file)))
    assert not zoo.is_published(str(tmp_path / "own.pth"))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(FileNotFoundError, match=r"detr://tinny \(did you mean detr://tiny\?\); there are"):
        PathManager.get_local_path("detr://tinny")
    register_weights()
    with pytest.raises(FileNotFoundError, match=r"detr://detr_R_50, .*detr://dab_detr_R_50_50ep_authors$"):
        PathManager.get_local_path("detr://nothing-like-it")


def test_published_weights_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="can only be read"):
        PathManager.open("detr://tiny", "wb")
