"""Listeners that are told of every status: people, systemd, the final summary."""
