"""`python -m lineside` is the command `lineside`."""

import sys

from lineside.cli import main

sys.exit(main())
