"""Which texts can be a symbol, a source or another part of a series' name."""

import re

# No "=": readers of file trees take `x=y` for a partition. No leading dot or dash: hidden files and options.
_PART = re.compile(r"[A-Za-z0-9^_][A-Za-z0-9^._-]{0,63}")
# What programs write for "no value". "NA" is not among them: it is a listed ticker, and must not be read as missing.
_NO_VALUE = frozenset({"null", "nan", "none", "nil"})


def name_fault(text: str) -> str:
    """Why ``text`` cannot be a symbol or another part of a series' name, as half a sentence; empty when it can."""
    if not text:
        return "it is empty"
    if len(text) > 64:
        return "it is longer than 64 characters"
    if text.lower() in _NO_VALUE:
        return "that is how programs write a missing value"
    if not _PART.fullmatch(text) or ".." in text:
        return "only letters, digits and . - _ ^ are allowed, and it must not start with . or -"
    return ""
