"""Commands and options → `Settings` → a run; every failure → one line and one exit status."""

from .process import main

__all__ = ["main"]
