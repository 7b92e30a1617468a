"""`python -m bertsmith` is the command `bertsmith`."""

import sys

from bertsmith.cli.main import main

sys.exit(main())
