"""What is ChatApp's own: channel names, the payload of events, the HTTP API."""
