"""The subcommands, one module each, groups in folders; see `cli`. None imports another."""

__all__: list[str] = []
