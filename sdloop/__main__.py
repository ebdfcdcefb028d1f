"""``python -m sdloop`` is the command ``sdloop``: a worker's answer to it, or its own."""

import os
import sys

from sdloop.worker.options import worker_options


def main() -> None:
    """Run the command line of this process."""
    if worker_options(sys.argv[1:], os.environ) is not None:
        _ask_worker()
    from sdloop.cli import main as command_line

    command_line()


def _ask_worker() -> None:
    """Exit with the answer of a worker, if one answers."""
    from sdloop.worker.call import call
    from sdloop.worker.inside import HOST, Host, Unfinished

    code = call(sys.argv[1:])
    if isinstance(code, int):
        sys.exit(code)
    if isinstance(code, Unfinished):
        HOST.set(Host(unfinished=code))


if __name__ == "__main__":
    main()
