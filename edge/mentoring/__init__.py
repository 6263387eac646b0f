"""The durable mentoring log: what the station kept of what it saw, and everything operators said about it."""
