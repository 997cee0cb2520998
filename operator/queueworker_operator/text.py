"""Text that comes from other people, before it is shown, and numbers with their nouns."""


def printable(text: str) -> str:
    """Put ? for what would end a line or command a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def counted(count: int, noun: str, plural: str = "") -> str:
    """Write `1 job`, `3,000 jobs`; a noun may bring its verb: `job waits`, `jobs wait`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
