"""Rotate shared OAuth 2.0 credentials that live in AWS Secrets Manager, Vault or a local store.

The command line is `rotator` (`rotator.cli`); the Lambda handler is `rotator.aws_lambda.handler`.
Importing this package imports nothing else: a Lambda with AWS never pays for Vault.
"""

__version__ = "0.1.0"
