"""Service Keys: the API keys of external services, encrypted in one table."""
