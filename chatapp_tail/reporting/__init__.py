"""Listeners for status changes: notices on stderr, systemd, the final summary, progress."""
