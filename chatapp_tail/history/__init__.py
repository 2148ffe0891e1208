"""Gaps and `--resume`: reading what was missed back from ChatApp's history."""
