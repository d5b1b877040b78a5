"""The command ``detr-d2`` as a whole: what it lists, how little it imports, and how it says mistakes."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import detr_d2
import detr_d2_cli
from detr_d2.errors import EXIT_STATUS
from detr_d2.tools.command import CommandParser

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(detr_d2_cli.COMMANDS)


def module_of(name: str) -> Any:
    return import_module(f"detr_d2.tools.{detr_d2_cli.COMMANDS[name][0]}")


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_imports_neither_torch_nor_detectron2() -> None:
    code = "import sys, detr_d2_cli; detr_d2_cli.main(['--help'])\nprint(*sys.modules)"
    result = run_python(code)
    *text, modules = result.stdout.splitlines()
    assert not {"torch", "detectron2", "detr_d2", "numpy"} & set(modules.split())
    for name in NAMES:
        assert any(line.split()[:1] == [name] for line in text)


def test_help_takes_less_than_half_a_second() -> None:
    """Of the processor, the least of three: other processes of the machine do not count."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "detr_d2_cli.py", "--help"], cwd=ROOT, check=True, capture_output=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["help"]])
def test_help_is_what_comes_without_a_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert detr_d2_cli.main(arguments) == 0
    assert capsys.readouterr().out == f"{detr_d2_cli.usage()}\n"


def test_every_module_of_the_tools_is_a_command() -> None:
    files = {file.stem for file in Path(detr_d2.__path__[0], "tools").glob("*.py")}
    assert {module for module, _ in detr_d2_cli.COMMANDS.values()} == files - {
        "__init__",
        "command",
        "predictor",
    }


def test_the_status_is_that_of_the_package() -> None:
    assert detr_d2_cli.EXIT_STATUS == EXIT_STATUS


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_names_it_and_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        detr_d2_cli.main([name, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: detr-d2 {name} ")
    examples = text[text.index("\nexample") :].splitlines()[2:]
    assert examples
    assert all(shlex.split(line)[:2] == ["detr-d2", name] for line in examples)


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_understood(name: str) -> None:
    parser: CommandParser = module_of(name).build_parser()
    for example in parser.examples:
        parser.parse_args(shlex.split(example))


@pytest.mark.parametrize("name", [*NAMES, "no-such-command"])
def test_a_wrong_argument_is_one_line_and_status_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert detr_d2_cli.main([name, "--no-such-argument"]) == 2
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.startswith("error: ")
    assert text.err.count("\n") == 1
    assert name in text.err


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"zoo", "shapes", "train", "eval"}))
def test_missing_arguments_are_named_in_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert detr_d2_cli.main([name]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "required" in error


def test_the_version_is_the_packages() -> None:
    code = "import sys, detr_d2_cli; sys.exit(detr_d2_cli.main(['--version']))"
    result = run_python(code)
    assert result.stdout.split() == ["detr_d2", detr_d2.__version__]


# Imports nothing that is called detectron2.
WITHOUT_DETECTRON2 = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == {absent!r} else find_spec(name, package)
sys.meta_path.insert(0, Absent())
import detr_d2_cli
sys.exit(detr_d2_cli.main(["zoo"]))
"""


def test_without_detectron2_a_command_says_in_one_line_how_to_install_it() -> None:
    result = run_python(WITHOUT_DETECTRON2.format(absent="detectron2"))
    assert result.returncode == 2
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert "pip install" in line
    assert "Traceback" not in result.stderr


def test_another_package_that_is_missing_keeps_its_traceback() -> None:
    result = run_python(WITHOUT_DETECTRON2.format(absent="fvcore"))
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "fvcore" in result.stderr
