"""What every command does around its work."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from detr_d2.errors import MissingFileError, UserError
from detr_d2.tools.command import CLOSED_PIPE_STATUS, run_command


@pytest.mark.parametrize("error", [UserError("no good"), MissingFileError("no good")])
def test_what_the_user_can_put_right_is_one_line_and_status_2(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(args: argparse.Namespace) -> None:
        raise error

    assert run_command(argparse.ArgumentParser(), work, []) == 2
    assert capsys.readouterr().err == "error: no good\n"


def test_the_work_gets_the_arguments() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int)
    seen: list[int] = []
    assert run_command(parser, lambda args: seen.append(args.number), ["--number", "3"]) == 0
    assert seen == [3]


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), OSError("x")])
def test_errors_of_the_program_itself_are_not_hidden(error: Exception) -> None:
    def work(args: argparse.Namespace) -> None:
        raise error

    with pytest.raises(type(error)):
        run_command(argparse.ArgumentParser(), work, [])


@contextmanager
def closed_pipe() -> Iterator[int]:
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


# Little stays in Python's buffer until the end; much is written at once.
@pytest.mark.parametrize("arguments", [["10"], ["100000"], ["--help"]])
def test_nothing_is_said_where_nobody_reads_the_output(arguments: list[str]) -> None:
    code = """
import argparse, sys
from detr_d2.tools.command import run_command
parser = argparse.ArgumentParser()
parser.add_argument("characters", type=int)
sys.exit(run_command(parser, lambda args: print("x" * args.characters), sys.argv[1:]))
"""
    root = Path(__file__).parents[2]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", code, *arguments]
    with closed_pipe() as pipe:
        done = subprocess.run(command, cwd=root, env=buffered, stdout=pipe, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (CLOSED_PIPE_STATUS, "")


def test_another_broken_pipe_is_an_error_of_the_program() -> None:
    def work(args: argparse.Namespace) -> None:
        with closed_pipe() as pipe:
            os.write(pipe, b"x")

    with pytest.raises(BrokenPipeError):
        run_command(argparse.ArgumentParser(), work, [])
