"""Passwords that a text of somebody else quotes, blanked. Pure."""

import re

# A password may hold an @.
PASSWORDS = re.compile(
    r"(://[^:/@\s]*:)\S+(?=@)"
    r"|(\w*passw(?:or)?d['\"]?\s*[=:]\s*)"
    r"('(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?|(?:[^\s'\"\\,;)]|\\.)+)",
    re.IGNORECASE,
)


def shortened(text: str, most_characters: int) -> str:
    """Cut a text off, its passwords blanked before: half an address would no longer look like one."""
    return without_passwords(text[: 4 * most_characters])[:most_characters]


def without_passwords(text: str) -> str:
    """Blank the passwords of addresses that a message or a source line quotes."""
    return PASSWORDS.sub(lambda match: f"{match[1] or match[2]}***", text)
