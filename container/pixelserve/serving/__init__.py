"""The server: any handler's functions behind the SageMaker container contract."""
