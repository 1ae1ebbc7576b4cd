"""``python -m crnn_jax``: the command line."""

import sys

from crnn_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
