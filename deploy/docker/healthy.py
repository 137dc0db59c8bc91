# ruff: noqa: INP001 - a script of the image, not a package
"""The image's health check: exit 0 when the service says that it is ready. The slim image has no curl."""

import os
import sys
from http.client import HTTPConnection, HTTPException

_TIMEOUT_S = 4

# The gateway answers on its one port, the services without HTTP of their own on the port for health.
port = int(os.environ["PORT" if os.environ["SERVICE"] == "gateway" else "HEALTH_PORT"])
connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
try:
    connection.request("GET", "/health/ready")
    sys.exit(0 if connection.getresponse().status == 200 else 1)
except (HTTPException, OSError):
    sys.exit(1)
