"""A fault run: the program against a real server over a line that breaks in every way."""
