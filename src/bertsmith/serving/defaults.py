"""What a server does where nobody says otherwise; docs/serving.md gives the reasons.

By themselves, since the command line shows them where the packages of serving are not installed.
"""

from __future__ import annotations

HOST = "127.0.0.1"
PORT = 8000
MAX_WAIT_MS = 2.0
MAX_BODY_BYTES = 4 * 2**20
MAX_TEXTS = 1024
MAX_CHARACTERS = 100_000
MAX_TOKENS = 65_536
MAX_QUEUE = 4096
TIMEOUT_SECONDS = 30.0
GRACE_SECONDS = 30.0
