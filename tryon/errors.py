"""The one error a user can cause."""


class InputError(Exception):
    """Bad input from outside: an argument, a file, a folder.

    The message is one line that names the argument or file, what was found and what is wanted.
    The command line prints it and ends with exit code 2; from Python it is raised as it is.
    """
