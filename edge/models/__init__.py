"""Models on the station: receiving, proving, swapping and going back."""
