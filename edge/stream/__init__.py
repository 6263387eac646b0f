"""The station on ZeroMQ: decisions go out (PUB), feedback comes in (ROUTER)."""
