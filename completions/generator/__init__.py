"""Completions for shells, made from the commands: static scripts that start no program on TAB."""
