"""What every command does around its work."""

import argparse

import pytest

from detr_d2.errors import MissingFileError, UserError
from detr_d2.tools.command import run_command


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
