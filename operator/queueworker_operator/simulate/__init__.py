"""What would have happened: jobs, pods and slots simulated, sized by `decide()` and its rivals.

Nothing here reads a clock or draws unseeded numbers: the same inputs give the same outcome.
"""
