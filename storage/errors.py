"""Errors that are shown as one line, without a traceback."""


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and what would be right."""


class UnavailableError(OSError):
    """A store that cannot be reached now, after many tries; another try later may succeed."""


class UnsentError(UnavailableError):
    """Results that are here and could not be sent; another try later may succeed."""
