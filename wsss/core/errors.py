"""The one exception that a user's mistake or a bad file raises."""


class UserError(Exception):
    """Something the user can mend: its message is one line saying what, where, and what to do.

    The command line prints the message without a traceback and exits with status 1.
    """
