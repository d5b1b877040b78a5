"""What every command does around its work."""

import argparse
import os
import select
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..errors import ConfigError, UserError, exit_status

PROGRAM = "detr-d2"
# As a shell tells it of a program that is ended because nobody reads what it writes: 128 + SIGPIPE.
CLOSED_PIPE_STATUS = 141

CONFIG_HELP = "YAML file, or a config's name in detr_d2 (detr-d2 zoo --configs lists them)"


class CommandParser(argparse.ArgumentParser):
    """Arguments of a command of ``detr-d2``; wrong ones are a ConfigError.

    Args:
        name: of the command, as ``detr_d2_cli.py`` lists it.
        description: what it does.
        examples: what may stand after its name.
        options: of ``argparse.ArgumentParser``.
    """

    def __init__(self, name: str, description: str, examples: Sequence[str], **options: Any) -> None:
        self.examples = tuple(examples)
        lines = "".join(f"\n  {PROGRAM} {name} {example}".rstrip(" ") for example in examples)
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(
            prog=f"{PROGRAM} {name}",
            description=textwrap.fill(description, 100),
            epilog=f"{'example' if len(examples) == 1 else 'examples'}:{lines}",
            **options,
        )

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments, in one line where argparse would print all that there are."""
        raise ConfigError(f"{message} ({self.prog} --help lists the arguments)")


def model_parser(name: str, description: str, examples: Sequence[str]) -> CommandParser:
    """A parser of the arguments that name a model; parameters as of :class:`CommandParser`."""
    parser = CommandParser(name, description, examples)
    parser.add_argument("--config-file", required=True, metavar="FILE", help=CONFIG_HELP)
    weights = "checkpoint, or detr://NAME of published ones (default: MODEL.WEIGHTS)"
    parser.add_argument("--weights", metavar="FILE", help=weights)
    parser.add_argument("--device", help="cpu, cuda, cuda:1 … (default: MODEL.DEVICE)")
    return parser


def run_command(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the arguments and do the work; say in one line what cannot be used.

    Where standard output is a pipe whose reader has gone (``| head``), the command ends without a word.

    Args:
        parser: of the arguments.
        work: gets them. A UserError ends it; other errors keep their traceback.
        argv: arguments; None takes the process's own.

    Returns:
        Exit status: 0, 2 where something cannot be used, or 141 where nobody reads on.
    """
    try:
        try:
            work(parser.parse_args(argv))
        finally:  # else Python would fail to do it when it ends; after --help too
            sys.stdout.flush()
    except UserError as error:
        return exit_status(error)
    except BrokenPipeError:
        if not _output_is_closed():  # it was another pipe, such as a worker's
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # for what is still to be written
        os.close(nowhere)
        return CLOSED_PIPE_STATUS
    return 0


def _output_is_closed() -> bool:
    """Whether standard output is a pipe that nobody reads."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # it is no file
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
