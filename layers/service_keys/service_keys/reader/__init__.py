"""The cached read path for consumers."""
