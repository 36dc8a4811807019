"""What the command line refuses before anything is done."""


class UsageError(Exception):
    """The command line contradicts itself: exit code 2."""
