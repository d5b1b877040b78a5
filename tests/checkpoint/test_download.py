"""A published file is whole and right, or not there; it is downloaded once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from detr_d2.checkpoint.download import RemoteFile, fetch
from detr_d2.errors import CheckpointError

from .file_server import FileServer

CONTENT = bytes(range(40))
NAME = "weights-0123.pth"

# Loads the module alone, which takes far less time than importing Detectron2.
CHILD = """
import sys
from detr_d2.checkpoint.download import RemoteFile, fetch
print("ready", flush=True)
print(fetch(RemoteFile(*sys.argv[1:])))
"""


@pytest.fixture(autouse=True)
def _published(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    server.files[f"/detr/{NAME}"] = CONTENT


def remote(server: FileServer, content: bytes = CONTENT, digits: int = 8) -> RemoteFile:
    return RemoteFile(f"{server.url}/detr/{NAME}", hashlib.sha256(content).hexdigest()[:digits])


def partials(path: Path) -> list[Path]:
    return list(path.parent.glob(f"{path.name}.*.unfinished"))


def start_child(file: RemoteFile) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, file.url, file.sha256]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def wait_until(condition: object, seconds: float = 30.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_file_lies_where_detectron2_caches_its_url(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detectron2.utils.file_io import PathManager

    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    path = fetch(remote(server))
    assert path == tmp_path / "detr" / NAME
    assert path.read_bytes() == CONTENT
    assert PathManager.get_local_path(f"{server.url}/detr/{NAME}") == str(path)
    assert len(server.requests) == 1


def test_a_file_is_downloaded_once(server: FileServer, tmp_path: Path) -> None:
    for _ in range(2):
        assert fetch(remote(server)).read_bytes() == CONTENT
    assert server.requests == [(f"/detr/{NAME}", 0)]


def test_a_download_cut_at_any_byte_is_not_taken_for_whole(server: FileServer, tmp_path: Path) -> None:
    path = remote(server).cached()
    for length in range(len(CONTENT)):
        server.faults = [("cut", length)]
        with pytest.raises(CheckpointError, match=rf"{NAME}.*{hashlib.sha256(CONTENT[:length]).hexdigest()}"):
            fetch(remote(server))
        assert [left.name for left in path.parent.iterdir()] == [f"{NAME}.lock"]
    assert fetch(remote(server)).read_bytes() == CONTENT


def test_a_killed_process_leaves_nothing_that_is_taken_for_whole(server: FileServer, tmp_path: Path) -> None:
    content = bytes(1 << 20)
    server.files[f"/detr/{NAME}"] = content
    server.faults = [("cut", len(content) // 2)]
    file = remote(server, content)
    path = file.cached()
    server.release.clear()
    child = start_child(file)
    wait_until(lambda: any(left.stat().st_size for left in partials(path)))
    child.kill()
    child.communicate()
    assert not path.exists()
    server.release.set()
    assert fetch(file).read_bytes() == content
    assert not partials(path)


def test_a_wrong_hash_is_reported_with_both_hashes_and_nothing_is_kept(
    server: FileServer, tmp_path: Path
) -> None:
    server.files[f"/detr/{NAME}"] = b"something else"
    with pytest.raises(CheckpointError, match=NAME) as error:
        fetch(remote(server))
    assert hashlib.sha256(b"something else").hexdigest() in str(error.value)
    assert remote(server).sha256 in str(error.value)
    assert [path.name for path in (tmp_path / "detr").iterdir()] == [f"{NAME}.lock"]


def test_a_cached_file_of_another_content_is_reported_with_both_hashes(
    server: FileServer, tmp_path: Path
) -> None:
    path = remote(server).cached()
    path.parent.mkdir()
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match="delete it") as error:
        fetch(remote(server))
    assert hashlib.sha256(CONTENT[:-1]).hexdigest() in str(error.value)
    assert f"begins with {remote(server).sha256}" in str(error.value)
    assert str(path) in str(error.value)


def test_two_processes_that_start_at_once_download_once(server: FileServer, tmp_path: Path) -> None:
    server.release.clear()
    children = [start_child(remote(server)) for _ in range(2)]
    wait_until(lambda: server.requests)
    time.sleep(0.3)  # long enough for a second request, were there one
    server.release.set()
    outputs = [child.communicate(timeout=60) for child in children]
    path = remote(server).cached()
    assert [output for output, _ in outputs] == [f"{path}\n"] * 2, outputs
    assert path.read_bytes() == CONTENT
    assert server.requests == [(f"/detr/{NAME}", 0)]


def test_without_network_the_user_is_told_what_to_get_and_where_to_put_it(tmp_path: Path) -> None:
    file = RemoteFile(f"http://127.0.0.1:9/detr/{NAME}", "0123")  # the discard port: nothing answers
    with pytest.raises(FileNotFoundError, match="Connection refused") as error:
        fetch(file)
    assert f"get {file.url} on a machine with network and put it at {file.cached()}" in str(error.value)
    assert "DETR_D2_MIRROR" in str(error.value)

    file.cached().write_bytes(CONTENT)  # what the message says works
    right = RemoteFile(file.url, hashlib.sha256(CONTENT).hexdigest())
    assert fetch(right) == file.cached()


def test_a_url_that_is_gone_is_named(server: FileServer, tmp_path: Path) -> None:
    file = RemoteFile(f"{server.url}/gone.pth", "0123")
    with pytest.raises(FileNotFoundError, match=rf"cannot download {file.url} \(Not Found\)"):
        fetch(file)


def test_a_mirror_on_the_network_is_asked_by_the_name_of_the_file(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RemoteFile(f"http://127.0.0.1:9/detr/{NAME}", remote(server).sha256)
    monkeypatch.setenv("DETR_D2_MIRROR", f"{server.url}/copies/")
    server.files[f"/copies/{NAME}"] = CONTENT
    path = fetch(file)
    assert path == tmp_path / "detr" / NAME
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_file_in_a_mirror_folder_is_used_where_it_lies(
    tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my copies"
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    mirror = prefix + (str(folder).replace(" ", "%20") if prefix else str(folder))
    monkeypatch.setenv("DETR_D2_MIRROR", mirror)
    file = RemoteFile(f"http://127.0.0.1:9/detr/{NAME}", hashlib.sha256(CONTENT).hexdigest()[:8])
    assert fetch(file) == folder / NAME
    assert not file.cached().exists()

    (folder / NAME).write_bytes(CONTENT[1:])
    with pytest.raises(ValueError, match=hashlib.sha256(CONTENT[1:]).hexdigest()) as error:
        fetch(file)
    assert str(error.value).endswith(f"; replace it by {file.url}, or change DETR_D2_MIRROR")
    (folder / NAME).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{NAME} does not exist.* put {file.url} there"):
        fetch(file)


def test_what_is_cached_needs_no_mirror(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch(remote(server))
    monkeypatch.setenv("DETR_D2_MIRROR", str(tmp_path / "empty"))
    assert fetch(remote(server)) == path


def unhashed(server: FileServer) -> RemoteFile:
    return RemoteFile(f"{server.url}/detr/{NAME}")


def test_without_a_published_hash_the_first_download_is_pinned(server: FileServer, tmp_path: Path) -> None:
    file = unhashed(server)
    assert file.known_sha256() == ""
    path = fetch(file)
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert file.known_sha256() == digest
    assert path.with_name(f"{NAME}.sha256").read_text().split() == [digest, NAME]
    assert fetch(file) == path
    assert len(server.requests) == 1


def test_another_download_than_the_first_is_refused_with_both_hashes(
    server: FileServer, tmp_path: Path
) -> None:
    file = unhashed(server)
    path = fetch(file)
    path.unlink()
    server.files[f"/detr/{NAME}"] = b"something else"
    with pytest.raises(CheckpointError) as error:
        fetch(file)
    for words in (str(path), file.url, str(file.pin())):
        assert words in str(error.value)
    for content in (CONTENT, b"something else"):
        assert hashlib.sha256(content).hexdigest() in str(error.value)
    assert not path.exists()
    server.files[f"/detr/{NAME}"] = CONTENT
    assert fetch(file).read_bytes() == CONTENT


def test_a_pinned_file_that_was_changed_here_is_refused(server: FileServer, tmp_path: Path) -> None:
    path = fetch(unhashed(server))
    path.write_bytes(CONTENT[1:])
    with pytest.raises(CheckpointError, match=hashlib.sha256(CONTENT).hexdigest()):
        fetch(unhashed(server))


def test_a_file_that_was_put_there_is_pinned_as_well(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = unhashed(server), RemoteFile(f"{server.url}/detr/other.pth")
    file.cached().parent.mkdir()
    file.cached().write_bytes(b"by hand")
    fetch(file)
    assert file.known_sha256() == hashlib.sha256(b"by hand").hexdigest()
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "other.pth").write_bytes(b"mirrored")
    monkeypatch.setenv("DETR_D2_MIRROR", str(folder))
    assert fetch(other) == folder / "other.pth"
    (folder / "other.pth").write_bytes(b"exchanged")
    with pytest.raises(CheckpointError, match=hashlib.sha256(b"mirrored").hexdigest()):
        fetch(other)


def test_a_first_download_that_was_cut_is_neither_kept_nor_pinned(server: FileServer, tmp_path: Path) -> None:
    file = unhashed(server)
    for length in range(len(CONTENT)):
        server.faults = [("cut", length)]
        with pytest.raises(CheckpointError, match=f"{NAME}.*{length} of {len(CONTENT)} bytes"):
            fetch(file)
        assert [left.name for left in file.cached().parent.iterdir()] == [f"{NAME}.lock"]
    assert fetch(file).read_bytes() == CONTENT


@pytest.mark.parametrize("pin", ["", "nothing", "0123", "é" * 64])
def test_a_pin_that_is_no_hash_is_named(server: FileServer, tmp_path: Path, pin: str) -> None:
    file = unhashed(server)
    file.pin().parent.mkdir()
    file.pin().write_text(pin, "latin-1")
    with pytest.raises(CheckpointError) as error:
        fetch(file)
    assert str(file.pin()) in str(error.value)


def test_mirrors_tell_the_files_of_hugging_faces_models_apart() -> None:
    base = "https://huggingface.co/some/model-a/resolve/main"
    assert RemoteFile(f"{base}/model.safetensors").name == "model-a-model.safetensors"
    assert RemoteFile(f"{base}/part/pytorch_model.bin?download=true").name == "model-a-pytorch_model.bin"
    assert RemoteFile("https://a.b/v0.1/resolve.pth").name == "resolve.pth"
