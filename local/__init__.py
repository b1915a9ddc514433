"""The stack on this machine: AWS emulator, API Gateway, functions and issuer."""


class LocalError(Exception):
    """A command or the local stack cannot continue. The message states the remedy."""
