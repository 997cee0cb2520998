"""Numbers with their nouns."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Write `1 job`, `3,000 jobs`; a noun may bring its verb: `job waits`, `jobs wait`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
