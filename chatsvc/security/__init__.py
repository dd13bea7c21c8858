"""Tokens, passwords and rate limits."""
