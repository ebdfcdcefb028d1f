"""``python -m sdloop`` is the command ``sdloop``."""

from sdloop.cli import main

if __name__ == "__main__":
    main()
