"""The pages beside the judging: history, figures over time, operators, the station's state, drift."""
