"""Text that comes from other people, before it is shown."""


def printable(text: str) -> str:
    """Put ? for what would end a line or command a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
