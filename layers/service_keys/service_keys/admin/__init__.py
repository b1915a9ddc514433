"""The admin API: requests, responses, audit and known services. Never imported by `reader`.

This package does not decide who is an administrator. The authorizer (`functions/authorizer`) does, before API Gateway
calls a function that uses this package.
"""
