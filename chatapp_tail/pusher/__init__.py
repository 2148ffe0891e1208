"""A client of the Pusher Channels protocol, version 7, that can be trusted to say what it knows.

`frames` reads RFC 6455 frames, `protocol` is the machine of one connection, `backoff` says when to
dial; all three are pure: bytes and time go in, values come out. `connection` is the thread that
owns the socket and feeds them, and `items` is what it hands on.
"""
