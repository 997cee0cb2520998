"""`python -m queueworker_operator` is `queueworker-operator`."""

import sys

from queueworker_operator.cli import main

sys.exit(main())
