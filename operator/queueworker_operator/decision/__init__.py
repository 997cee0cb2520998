"""Pure decisions: how many replicas keep the promise, and why. No I/O, no clock, no logging."""
