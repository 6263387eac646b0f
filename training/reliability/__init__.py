"""Who can be believed how far: operators' reliability from hidden repeats, and what it does to their answers."""
