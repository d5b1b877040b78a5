"""What every command does around its work."""

import argparse

import pytest

from detr_d2.tools.command import CommandError, run_command


@pytest.mark.parametrize(
    "error", [CommandError("no good"), FileNotFoundError("no good"), ValueError("no good")]
)
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


def test_errors_of_the_program_itself_are_not_hidden() -> None:
    def work(args: argparse.Namespace) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run_command(argparse.ArgumentParser(), work, [])
