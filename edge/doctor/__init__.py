"""Says on one page what works on this machine, what would be used, and what to do about the rest; starts nothing."""
