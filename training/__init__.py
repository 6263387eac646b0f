"""Training: from original pictures and operators' clicks to a checkpoint, and the figures that judge it."""
