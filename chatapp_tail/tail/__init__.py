"""The main thread: from the spool to the sink."""
