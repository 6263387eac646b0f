"""`python -m training`: the same as `lineside train`."""

import sys

from training.cli import main

if __name__ == "__main__":
    sys.exit(main())
