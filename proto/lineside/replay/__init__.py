"""The judging of a replay: what operators said, asked of a candidate. Used by the export's gate and by the station."""
