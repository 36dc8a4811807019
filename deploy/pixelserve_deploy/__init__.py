"""The `pixelserve` command: from a handler's folder to an endpoint, on this machine or on AWS."""

__all__: list[str] = []
