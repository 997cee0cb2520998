"""`python -m benchmarks NAME --json OUT`."""

from benchmarks.command import main

raise SystemExit(main())
