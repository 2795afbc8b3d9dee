"""The error for what a person can put right: shown as one line, without a traceback."""


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and what would be right."""
