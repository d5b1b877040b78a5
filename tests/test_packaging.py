"""Where the configs are, what the files beside the code say, and what set-up says when it cannot go on."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import detr_d2
from detr_d2.paths import configs_folder

ROOT = Path(__file__).resolve().parent.parent


def test_a_clones_configs_are_found_beside_the_package() -> None:
    assert configs_folder() == ROOT / "configs"


def test_incomplete_installation_is_told(tmp_path: Path) -> None:
    shutil.copy(ROOT / "detr_d2" / "paths.py", tmp_path)
    with pytest.raises(FileNotFoundError, match="install detr_d2 again"):
        runpy.run_path(str(tmp_path / "paths.py"))["configs_folder"]()


def read_requirements(name: str) -> list[str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_pre_commit_has_the_ruff_of_the_tests() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    (version,) = (hook["rev"] for hook in hooks if hook["repo"].endswith("/ruff-pre-commit"))
    assert f"ruff=={version.removeprefix('v')}" in read_requirements("constraints.txt")


def test_the_public_ci_runs_the_tests_of_a_clone() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8"))["jobs"]
    assert "make test" in [step.get("run") for step in jobs["test"]["steps"]]


def test_the_citation_has_the_version() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == detr_d2.__version__


@pytest.mark.parametrize("file", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda file: file.name)
def test_files_of_the_public_service_can_be_read(file: Path) -> None:
    assert isinstance(yaml.safe_load(file.read_text("utf-8")), dict)


def test_detectron2_is_pinned_by_version_and_hash() -> None:
    (line,) = read_requirements("detectron2.txt")
    assert re.fullmatch(r"pb1-detectron2==0\.6 --hash=sha256:[0-9a-f]{64}", line)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What set-up needs of the repository, with no environment in it yet."""
    for name in (
        "Makefile",
        "constraints.txt",
        "overrides.txt",
        "detectron2.txt",
        "setup.py",
        "pyproject.toml",
    ):
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
    for command in ("demo", "test", "setup", "lint", "format", "docs", "pictures", "clean"):
        assert f"make {command}" in text
