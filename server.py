#!/usr/bin/env python3
"""The command line of chatsvc; see `server.py --help` and README.md."""

import sys

from chatsvc.cli import main

if __name__ == "__main__":
    sys.exit(main())
