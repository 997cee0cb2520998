"""Measure the queue against others, side by side; not part of the distribution.

This file imports nothing: the programs of rivals run under other interpreters and import only
`benchmarks.programs`.
"""
