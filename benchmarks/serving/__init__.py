"""How much of an engine's speed reaches whoever asks the station: `python -m benchmarks.serving --json FILE`."""
