#!/usr/bin/env python3
"""The command line of chatsvc in a checkout; see `server.py --help` and README.md."""

import sys

from chatsvc.__main__ import run

if __name__ == "__main__":
    sys.exit(run())
