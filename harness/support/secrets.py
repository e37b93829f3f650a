"""Passwords: in the addresses of databases, and in whatever else a user may have typed by mistake."""

import re
from urllib.parse import quote

_SCHEME = r"\b[A-Za-z][A-Za-z0-9+.-]+:"
_END = r"[^\s'\"]+"  # up to where a word of an error line ends
_PORT = r"\*\*\*|…|\d{1,5}(?:[/\s'\"?…]|$)"

_LEAKS = (
    # an address that has more than a user before its host
    (re.compile(rf"({_SCHEME}/*)[^\s/@:'\"]*:(?!{_PORT}){_END}"), r"\1…"),
    (re.compile(rf"({_SCHEME}/*)[^\s/@:'\"]*:\d+@{_END}"), r"\1…"),
    (re.compile(r"(?<![\w/])[^\s'\"/:@=]+:(?!//|\*\*\*)[^\s'\"@]+@[^\s'\"]*"), "…"),
    # a word that is set to something
    (re.compile(r"(?i)(\b\w*(?:pass|pas+w|pwd|secret|token|[?&]key)\w*\s*=\s*)(?!\*\*\*)[^\s'\"]+"), r"\1…"),
)

_ADDRESS = re.compile(rf"^{_SCHEME}/|^[^/@]*:[^/@]*@|\b\w*(?:pass|pwd|host|user|dbname)\w*\s*=")
"""What no file of a store is called: the address of a database, or the words that libpq takes in place of one."""


def without_secrets(line: str) -> str:
    """The line with … for all that may be a password: what stands in an address, or behind a word such as password=."""
    for leak, instead in _LEAKS:
        line = leak.sub(instead, line)
    return line


def without(line: str, secret: str) -> str:
    """The line with *** for one secret, also where it is written as in an address. A word that holds it is another."""
    for text in (secret, quote(secret, safe="")):
        line = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", "***", line)
    return line


def is_address(text: str) -> bool:
    """Whether a text that is no URL looks like the address of a database, and so may hold a password."""
    return bool(_ADDRESS.search(text))
