"""The station daemon: cameras in, verdicts out, every click kept. No torch here, ever."""
