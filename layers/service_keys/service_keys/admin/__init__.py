"""The admin API: requests, responses, audit and the external services. Never imported by `reader`."""
