"""How good the serving model is, from a station's mentoring log alone: no fully labelled set is needed.

Pure but for `reading` (the log), `cli` and `html` (files): `judged` turns records into answers, `weights` says how much
of the line a frame stands for, `precision`, `recall`, `parts` and `thresholds` estimate, `intervals` is the statistics.
"""
