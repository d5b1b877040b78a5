"""Inputs of files, patterns, folders and addresses, and the files that are written of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.errors import DataError, MissingFileError, UserError
from detr_d2.predict import sources as module
from detr_d2.predict.sources import Source, find_sources, plan_outputs
from tests.checkpoint.file_server import FileServer, serve


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three images, a video, a text and a folder with an image."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "c.tif", "more/d.png", "clip.mp4", "notes.txt", "old.mpg"):
        (folder / name).write_bytes(b"")
    return folder


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve() as running:
        yield running


def names(inputs: list[str], root: Path) -> list[str]:
    sources, failures = find_sources(inputs)
    assert failures == []
    return [str(Path(source.name).relative_to(root)) for source in sources]


def test_a_folder_stands_for_its_images_by_name(photos: Path) -> None:
    assert names([str(photos)], photos) == ["a.JPG", "b.png", "c.tif"]


def test_a_pattern_stands_for_its_files_but_not_for_folders(photos: Path) -> None:
    assert names([str(photos / "*")], photos) == [
        "a.JPG", "b.png", "c.tif", "clip.mp4", "notes.txt", "old.mpg"
    ]  # fmt: skip
    assert names([str(photos / "**" / "*.png")], photos) == ["b.png", "more/d.png"]


def test_a_file_whose_name_is_a_pattern_is_itself(tmp_path: Path) -> None:
    for name in ("a[1].png", "a1.png"):
        (tmp_path / name).write_bytes(b"")
    assert names([str(tmp_path / "a[1].png")], tmp_path) == ["a[1].png"]


def test_videos_are_known_by_their_ending_and_images_are_counted(photos: Path) -> None:
    inputs = ["a.JPG", "clip.mp4", "b.png", "old.mpg"]
    sources, _ = find_sources([str(photos / name) for name in inputs])
    sources += find_sources(["http://example.org/x/CLIP.MOV?y=1.png", "https://example.org/x.png"])[0]
    assert [source.is_video for source in sources] == [False, True, False, True, True, False]
    assert [source.image_id for source in sources[:3:2]] == [1, 2]


def test_what_stands_for_nothing_is_named_and_the_rest_is_kept(photos: Path) -> None:
    (photos / "empty").mkdir()
    inputs = ["none.png", "none-*.png", "empty", "b.png"]
    sources, failures = find_sources([str(photos / name) for name in inputs])
    assert [source.name for source in sources] == [str(photos / "b.png")]
    assert [type(error) for error in failures] == [MissingFileError, MissingFileError, DataError]
    for name, error in zip(inputs, failures, strict=False):
        assert str(photos / name) in str(error)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.jpg", "a.jpg"),
        ("b.TIFF", "b.TIFF"),
        ("c.psd", "c.psd.png"),  # Pillow reads and does not write it
        ("d", "d.png"),
        ("http://h/x/e%20f.png?size=3", "e f.png"),
        ("http://h/", "image.png"),
        ("http://h/image", "image.png"),
    ],
)
def test_pictures_have_the_names_of_their_images(name: str, written: str, tmp_path: Path) -> None:
    (planned,) = plan_outputs([Source(name)], str(tmp_path))
    assert planned.target == tmp_path / written


@pytest.mark.parametrize(
    ("name", "written"), [("a.avi", "a.avi"), ("b.wmv", "b.mp4"), ("webcam-0", "webcam-0.mp4")]
)
def test_videos_have_the_names_of_theirs(name: str, written: str, tmp_path: Path) -> None:
    (planned,) = plan_outputs([Source(name, is_video=True)], str(tmp_path))
    assert planned.target == tmp_path / written


def test_one_input_may_go_to_a_file_of_its_kind_and_several_may_not(tmp_path: Path) -> None:
    image, video = Source("a.png"), Source("a.mp4", is_video=True)
    picture, film = tmp_path / "b.jpg", tmp_path / "b.mkv"
    assert plan_outputs([image], str(picture))[0].target == picture
    assert plan_outputs([video], str(film))[0].target == film
    film.mkdir()
    assert plan_outputs([image], str(film))[0].target == film / "a.png"
    for sources, output in (
        ([image, Source("c.png")], picture),
        ([image], tmp_path / "c.mp4"),
        ([video], picture),
        ([video], tmp_path / "c.wmv"),  # cannot be written
    ):
        with pytest.raises(UserError, match=output.name):
            plan_outputs(sources, str(output))


def test_nothing_is_overwritten_by_mistake(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"")
    sources, _ = find_sources([str(tmp_path / "one" / "a.png"), str(tmp_path / "other" / "a.png")])
    with pytest.raises(UserError, match=r"out/a\.png"):
        plan_outputs(sources, str(tmp_path / "out"))
    with pytest.raises(UserError, match="overwritten"):
        plan_outputs(sources[:1], str(tmp_path / "one"))
    with pytest.raises(UserError, match="overwritten"):
        plan_outputs(sources[:1], str(tmp_path / "one" / "a.png"))


def test_an_address_is_downloaded_and_forgotten(server: FileServer, tmp_path: Path) -> None:
    server.files["/x/photo.png"] = b"content"
    source = Source(f"{server.url}/x/photo.png")
    file = Path(source.local(tmp_path))
    assert file.read_bytes() == b"content"
    assert file.parent == tmp_path
    source.forget(str(file))
    assert not any(tmp_path.iterdir())


def test_a_file_of_ones_own_is_used_where_it_lies_and_kept(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    source = Source(str(tmp_path / "a.png"))
    assert source.local(tmp_path / "downloads") == source.name
    source.forget(source.name)
    assert (tmp_path / "a.png").exists()


def test_downloads_that_fail_name_the_address_and_leave_nothing(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DOWNLOAD", 1000)
    server.files |= {"/large.png": b"0" * 1001, "/small.png": b"0" * 1000}
    Source(f"{server.url}/small.png").forget(Source(f"{server.url}/small.png").local(tmp_path))
    with pytest.raises(DataError, match="/large.png"):
        Source(f"{server.url}/large.png").local(tmp_path)
    with pytest.raises(MissingFileError, match="/none.png"):
        Source(f"{server.url}/none.png").local(tmp_path)
    server.faults = [("cut", 10)]
    server.release.set()
    with pytest.raises(MissingFileError, match="/small.png"):
        Source(f"{server.url}/small.png").local(tmp_path)
    for address in ("http://", "http://[", "http://127.0.0.1:1/a.png"):
        with pytest.raises(MissingFileError, match="http://"):
            Source(address).local(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_download_of_unknown_length_ends_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server sends: here without end."""

    class Endless:
        headers: dict[str, str] = {}
        sent = 0

        def read(self, size: int) -> bytes:
            self.sent += size
            assert self.sent < 10_000_000
            return b"0" * size

        def __enter__(self) -> Endless:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(module, "MAX_DOWNLOAD", 1000)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Endless())
    with pytest.raises(DataError, match="http://endless"):
        Source("http://endless/a.png").local(tmp_path)
