"""``python -m sdloop`` is the command ``sdloop``: a worker's answer to it, or its own."""

import sys

from sdloop.worker.call import call
from sdloop.worker.inside import HOST, Host, Unfinished


def main() -> None:
    """Run the command line of this process."""
    code = call(sys.argv[1:])
    if isinstance(code, int):
        sys.exit(code)
    if isinstance(code, Unfinished):
        HOST.set(Host(unfinished=code))
    from sdloop.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
