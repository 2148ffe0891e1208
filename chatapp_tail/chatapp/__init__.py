"""The ChatApp service: channel names, the payload of events, the HTTP API."""
