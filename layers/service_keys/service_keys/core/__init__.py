"""Ids, names, secret values, models and settings. No I/O."""
