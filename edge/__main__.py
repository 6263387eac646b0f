"""`python -m edge` is `lineside station`."""

import sys

from edge.cli import main

sys.exit(main())
