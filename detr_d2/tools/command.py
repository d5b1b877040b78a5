"""What every command does around its work."""

import argparse
import sys
from collections.abc import Callable, Sequence


class CommandError(ValueError):
    """Something that the user can put right; its message is all that is shown."""


def run_command(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the arguments and do the work; say in one line what cannot be used.

    Args:
        parser: of the arguments.
        work: gets them. An OSError or ValueError, such as a :class:`CommandError`, ends it.
        argv: arguments; None takes the process's own.

    Returns:
        Exit status: 0, or 2 where something cannot be used.
    """
    args = parser.parse_args(argv)
    try:
        work(args)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
