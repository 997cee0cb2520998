"""The operator beside real KEDA and the HPA, on fake nodes: see `python -m benchmarks.keda --help`."""
