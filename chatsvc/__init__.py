"""chatsvc: a support chat that people host themselves."""

__version__ = "0.1.0"
