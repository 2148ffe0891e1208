"""Tail ChatApp's real-time events over the Pusher protocol."""

__version__ = "0.1.0"
