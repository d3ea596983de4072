"""The API server as both planes use it: one client, one reflector, one leader election."""
