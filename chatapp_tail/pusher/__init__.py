"""A client of the Pusher Channels protocol, version 7: the thread of the socket.

`connection` is that thread: it alone opens, uses and closes the socket. It dials through `dialer`
(`endpoint`, `resolver`) when `reconnection` (`backoff`, `refusals`) allows, and runs a `session`
for each link, which joins `transport`, the link itself, to `protocol`. `auth_pool` requests
signatures in other threads; `answers` are what it returns.

`protocol` is the machine of one connection, without I/O: text and time in, `events` out. Its parts
are `subscriptions` (each a `subscription`, with `error_correlation`) and `keepalive`; it uses
`messages`, `close_codes` and `timing`. `frames` decodes the bytes before it. `gaps` and `renewals`
determine what was not covered, in `moments` that `clock` reads. `redaction` removes signatures.
"""
