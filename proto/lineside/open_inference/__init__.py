"""The Open Inference Protocol: its messages, and how a model package is described in them."""
