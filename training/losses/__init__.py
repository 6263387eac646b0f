"""Losses: mathematics alone. One file, one formula, one source; no backbone in sight."""
