"""One-machine mode: the same manifests, the same decisions, processes in place of pods."""
