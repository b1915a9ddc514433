"""The admin API: requests, responses, audit and known services. Never imported by `reader`."""
