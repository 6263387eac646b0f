"""The whole loop with real processes: a station, a simulated operator at its feedback socket, training, the swap."""
