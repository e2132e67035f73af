"""The one exception for what a user can mend."""


class UserError(ValueError):
    """One line that names what was given, what is allowed and the remedy.

    The command line prints it without a traceback and exits with code 2; in Python it is an ordinary
    ``ValueError``.
    """
