"""Deliver events to the streams of this process and of others."""
