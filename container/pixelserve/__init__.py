"""pixelserve: what runs inside the image. `pixelserve.serving` is the server, `pixelserve.models` the networks."""

__version__ = "0.1.0"
