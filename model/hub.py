"""Whether the Hugging Face hub can be reached."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from huggingface_hub import constants

__all__ = ["hub_is_reachable"]


def hub_is_reachable() -> bool:
    """False if the hub's host name does not resolve: its client would retry for half a minute."""
    if constants.HF_HUB_OFFLINE:
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True
