"""What the command line refuses before anything is done."""


class UsageError(Exception):
    """The command line contradicts itself: exit code 2. `prog` is the command, where it is known."""

    def __init__(self, message: str, prog: str = "") -> None:
        super().__init__(message)
        self.prog = prog
