"""Errors a user can cause and mend: one message that says what is wrong, where, and the fix."""


class UserError(Exception):
    """Bad input, bad settings or a damaged artifact. The command line prints the message alone and exits with 2."""
