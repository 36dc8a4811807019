"""The gateway: REST dialects in front of the SageMaker Runtime API. It knows endpoints, and no model."""
