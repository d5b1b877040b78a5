"""The wheel's content, the agreement of the requirement files, and what set-up says when it cannot go on."""

from __future__ import annotations

import email
import hashlib
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from .checkpoint.file_server import serve
from .checkpoint.key_sets import published_checkpoint

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r"^[A-Za-z0-9._-]+")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the repository, built from a copy and without network."""
    source = tmp_path_factory.mktemp("source")
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("detr_d2", "configs", "benchmarks", "docs", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=skip)
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "configs" / "Two").mkdir(exist_ok=True)
    (source / "configs" / "Two" / "deep.yaml").write_text("_BASE_: ../one.yaml\n")
    (source / "configs" / "one.yaml").write_text("VERSION: 2\n")

    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(source), "--wheel-dir", str(target)]
    command += ["--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stdout + result.stderr
    return next(target.glob("detr_d2-*.whl"))


def test_wheel_holds_every_module_and_config(wheel: Path) -> None:
    files = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(p.relative_to(ROOT)) for p in (ROOT / "detr_d2").rglob("*.py")}
    expected |= {f"detr_d2/{p.relative_to(ROOT)}" for p in (ROOT / "configs").rglob("*.yaml")}
    expected |= {
        "detr_d2/py.typed",
        "detr_d2/model_zoo/zoo.json",
        "detr_d2/configs/one.yaml",
        "detr_d2/configs/Two/deep.yaml",
    }
    assert expected <= files
    # Nothing of benchmarks, docs, tests or top-level configs beside the package.
    assert {name.split("/")[0].split("-")[0] for name in files} == {"detr_d2"}
    suffixes = {Path(name).suffix for name in files if ".dist-info/" not in name}
    assert suffixes == {".py", ".typed", ".json", ".yaml"}


# Downloads, converts and loads weights of the published names and shapes, for which others stand in.
USE_THE_ZOO = """
import sys
import detr_d2
from detr_d2 import model_zoo
from detr_d2.checkpoint.download import RemoteFile

print(detr_d2.__file__, model_zoo.get_config("COCO-Detection/detr_R_50.yaml").MODEL.RESNETS.DEPTH)
model_zoo.register_weights({"detr_R_50": RemoteFile(*sys.argv[1:])})
model = model_zoo.get("COCO-Detection/detr_R_50.yaml", trained=True, device="cpu")
print(model.class_embed.bias[-1].item())
"""


def test_an_installed_wheel_has_configs_and_published_weights(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    command = [sys.executable, "-m", "pip", "install", str(wheel), "--target", str(site)]
    subprocess.run([*command, "--no-deps", "--no-index", "--quiet"], check=True, timeout=280)
    path = f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    changed = {"PYTHONPATH": path, "FVCORE_CACHE": str(tmp_path), "DETR_D2_MIRROR": "", "no_proxy": "*"}
    published = io.BytesIO()
    torch.save(published_checkpoint(50, panoptic=False), published)
    with serve() as server:
        server.files["/detr/weights.pth"] = published.getvalue()
        digest = hashlib.sha256(published.getvalue()).hexdigest()
        result = subprocess.run(
            [sys.executable, "-c", USE_THE_ZOO, f"{server.url}/detr/weights.pth", digest[:8]],
            cwd=empty,
            env=os.environ | changed,
            capture_output=True,
            text=True,
            timeout=280,
        )
    assert result.returncode == 0, result.stderr
    # The synthetic head's rows are filled with their numbers; the last one is no-object.
    assert result.stdout.splitlines() == [f"{site / 'detr_d2' / '__init__.py'} 50", "91.0"]


def test_installed_configs_are_found_inside_the_package(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    folder = runpy.run_path(str(tmp_path / "detr_d2" / "paths.py"))["configs_folder"]()
    assert folder == tmp_path / "detr_d2" / "configs"
    assert (folder / "Two" / "deep.yaml").is_file()


def test_a_clones_configs_are_found_beside_the_package() -> None:
    from detr_d2.paths import configs_folder

    assert configs_folder() == ROOT / "configs"


def test_incomplete_installation_is_told(tmp_path: Path) -> None:
    shutil.copy(ROOT / "detr_d2" / "paths.py", tmp_path)
    with pytest.raises(FileNotFoundError, match="install detr_d2 again"):
        runpy.run_path(str(tmp_path / "paths.py"))["configs_folder"]()


def test_metadata_asks_for_nothing_that_no_index_has(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    requirements = metadata.get_all("Requires-Dist") or []
    assert metadata["Requires-Python"] == ">=3.11"
    assert any(line.startswith("torch>=") for line in requirements)
    assert not [line for line in requirements if "detectron2" in line.split(";")[0]]
    assert {"detectron2", "dev", "test"} <= set(metadata.get_all("Provides-Extra") or [])


def read_requirements(name: str) -> list[str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_of_the_package_has_one_tested_version(wheel: Path) -> None:
    pins = read_requirements("constraints.txt")
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line)] == []
    pinned = [normalise(line.split("==")[0]) for line in pins]
    assert len(pinned) == len(set(pinned))
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    for line in metadata.get_all("Requires-Dist") or []:
        match = NAME.match(line)
        assert match is not None
        assert normalise(match.group()) in pinned


def test_detectron2_is_pinned_by_version_and_hash() -> None:
    (line,) = read_requirements("detectron2.txt")
    assert re.fullmatch(r"pb1-detectron2==0\.6 --hash=sha256:[0-9a-f]{64}", line)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What set-up needs of the repository, with no environment in it yet."""
    for name in ("Makefile", "constraints.txt", "detectron2.txt", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    return tmp_path


def make(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "MAKE", "MFLAGS"))}
    for variable in ("VENV", "PYTHON", "DETECTRON2", "DETECTRON2_OPS"):  # of the make that runs the tests
        inherited.pop(variable, None)
    return subprocess.run(
        ["make", *arguments],
        cwd=clone,
        env=inherited | {"PIP_CONFIG_FILE": os.devnull} | environment,
        capture_output=True,
        text=True,
        timeout=280,
    )


def error_lines(result: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("setup: error:")]


def fake_python(folder: Path, name: str) -> Path:
    """A command that answers as Python 2.7 does: it knows no f-strings, and its version goes to stderr."""
    path = folder / name
    path.write_text('#!/bin/sh\ncase "$1" in --version|-V) echo "Python 2.7.18" >&2; exit 0;; esac\nexit 1\n')
    path.chmod(0o755)
    return path


def test_too_old_a_python_is_named(clone: Path) -> None:
    result = make(clone, "setup", f"PYTHON={fake_python(clone, 'python2')}")
    assert result.returncode != 0
    (line,) = error_lines(result)
    assert "Python 3.11 or newer is needed" in line
    assert "is Python 2.7.18" in line
    assert not (clone / ".venv").exists()


def test_no_python_that_is_new_enough_tells_how_to_name_one(clone: Path) -> None:
    commands = clone / "commands"
    commands.mkdir()
    for name in ("bash", "sh", "dirname", "cat", "head", "touch", "env", "test", "find"):
        (commands / name).symlink_to(str(shutil.which(name)))
    fake_python(commands, "python3")
    result = subprocess.run(
        [str(shutil.which("bash")), "scripts/setup.sh"],
        cwd=clone,
        env={"PATH": str(commands)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode != 0
    (line,) = error_lines(result)
    assert "python3 is Python 2.7.18" in line
    assert "make setup PYTHON=" in line


def test_python_that_is_no_command_is_named(clone: Path) -> None:
    result = make(clone, "setup", "PYTHON=no-such-python")
    assert error_lines(result) == ["setup: error: PYTHON=no-such-python is not a command"]


def test_no_network_is_told_in_one_line(clone: Path) -> None:
    nowhere = "http://127.0.0.1:9/simple"  # the discard port: nothing answers
    result = make(clone, "setup", f"PYTHON={sys.executable}", PIP_INDEX_URL=nowhere, PIP_RETRIES="0")
    assert result.returncode != 0
    (line,) = error_lines(result)
    assert "no package index answered" in line
    assert not (clone / ".venv" / "ready").exists()


def test_set_up_is_not_run_again_when_nothing_changed(clone: Path) -> None:
    environment = clone / ".venv"
    environment.mkdir()
    (environment / "detectron2-requirement").write_text("default\n")
    (environment / "ready").touch()
    assert make(clone, "--question", "setup").returncode == 0
    assert make(clone, "--question", "setup", "DETECTRON2=default").returncode == 0
    assert make(clone, "--question", "setup", "DETECTRON2=another==1.0").returncode == 1

    later = (environment / "ready").stat().st_mtime + 10
    os.utime(clone / "constraints.txt", (later, later))
    assert make(clone, "--question", "setup").returncode == 1


def test_a_detectron2_folder_is_installed_again_when_something_in_it_changed(clone: Path) -> None:
    folder = clone / "their-detectron2"
    folder.mkdir()
    (folder / "setup.py").touch()
    os.utime(folder / "setup.py", (1e9, 1e9))
    environment = clone / ".venv"
    environment.mkdir()
    (environment / "detectron2-requirement").write_text(f"{folder}\n")
    (environment / "ready").touch()
    assert make(clone, "--question", "setup", f"DETECTRON2={folder}").returncode == 0
    later = (environment / "ready").stat().st_mtime + 10
    os.utime(folder / "setup.py", (later, later))
    assert make(clone, "--question", "setup", f"DETECTRON2={folder}").returncode == 1


def test_help_names_every_command(clone: Path) -> None:
    text = make(clone, "help").stdout
    for command in ("demo", "test", "setup", "lint", "format", "clean"):
        assert f"make {command}" in text
