"""The subcommands, one module each; see `cli`."""


class UsageError(Exception):
    """The command line contradicts itself: exit code 2."""
