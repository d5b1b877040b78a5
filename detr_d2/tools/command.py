"""What every command does around its work."""

import argparse
from collections.abc import Callable, Sequence

from ..errors import UserError, exit_status


def run_command(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the arguments and do the work; say in one line what cannot be used.

    Args:
        parser: of the arguments.
        work: gets them. A UserError ends it; other errors keep their traceback.
        argv: arguments; None takes the process's own.

    Returns:
        Exit status: 0, or 2 where something cannot be used.
    """
    args = parser.parse_args(argv)
    try:
        work(args)
    except UserError as error:
        return exit_status(error)
    return 0
