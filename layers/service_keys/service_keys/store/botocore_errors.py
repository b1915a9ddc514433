"""The types of botocore's errors by their cause. Imports botocore, so only code that uses it imports this module."""

from __future__ import annotations

import botocore.exceptions
import botocore.parsers

from service_keys.store.error_kinds import ErrorKinds


class BotocoreKinds(ErrorKinds):
    """The types of botocore."""

    every = (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError)
    responses = (botocore.exceptions.ClientError,)
    connection = (
        botocore.exceptions.ConnectionError,
        botocore.exceptions.HTTPClientError,
        botocore.exceptions.IncompleteReadError,
        botocore.exceptions.ChecksumError,
        botocore.parsers.ResponseParserError,
    )
    no_credentials = (
        botocore.exceptions.CredentialRetrievalError,
        botocore.exceptions.MetadataRetrievalError,
        botocore.exceptions.NoCredentialsError,
        botocore.exceptions.SSOError,
        botocore.exceptions.TokenRetrievalError,
    )
    self_explanatory = (
        botocore.exceptions.ConfigNotFound,
        botocore.exceptions.ConfigParseError,
        botocore.exceptions.InvalidConfigError,
        botocore.exceptions.NoRegionError,
        botocore.exceptions.PartialCredentialsError,
        botocore.exceptions.ProfileNotFound,
    )
    wrappers = (botocore.exceptions.HTTPClientError,)
    reads_credentials = frozenset({"botocore.credentials", "botocore.tokens", "botocore.auth", "botocore.crt.auth"})
    reads_responses = frozenset({"botocore.parsers"})
