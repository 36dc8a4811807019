"""Endpoints on AWS as CloudFormation stacks: what is wanted, templates, plan, stacks, and what is there."""
