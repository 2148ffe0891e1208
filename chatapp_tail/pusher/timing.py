"""How long each wait of the protocol machine may last."""

import msgspec


class Timing(msgspec.Struct, frozen=True):
    """Spans in seconds."""

    ping_interval: float = 15.0
    """Between two pings; a shorter `activity_timeout` of the server takes its place."""
    pong_timeout: float = 10.0
    """From a ping to the next frame of any kind."""
    established_timeout: float = 10.0
    """From the WebSocket upgrade to `pusher:connection_established`."""
    confirm_timeout: float = 10.0
    """From a request for a channel to its answer."""
    auth_timeout: float = 60.0
    """From the request for a signature to the answer of the auth endpoint."""
    refused_retry: float = 300.0
    """Until a refused channel is requested again."""
    refusal_lasting: float = 30.0
    """For how long a channel that was confirmed must be refused before the refusal counts."""
    recheck_interval: float = 180.0
    """Between two rechecks of the confirmed subscriptions."""
    quiet_interval: float = 60.0
    """Without a channel event until `Idle` is reported."""
