"""The gateway: a client of the SageMaker Runtime API with a REST face."""

__all__: list[str] = []
