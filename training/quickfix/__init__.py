"""The quick fix: one repeated false alarm unlearned in two minutes, everything else kept as it is."""
