"""The one error a user can cause."""


class InputError(Exception):
    """Bad input from outside: an argument, a file, a folder.

    The message is one line that names the argument or file, what was found and what is wanted.
    The command line prints it and ends with exit code 2; from Python it is raised as it is.
    """


class TrainingError(Exception):
    """Training cannot go on, for a reason in the numbers and not in the input. One line, exit code 1."""
