"""The replay gate: a candidate answers for what operators already said, before one part is judged by it.

    judging.py    a record's judgements as expectations, and the candidate's answer held against them
    matching.py   which candidate detection answers which judged box
    figures.py    counts, shares and their intervals, weighted by the probability of selection
    gate.py       passed or refused, from the figures and a policy
    policy.py     the limits, from a TOML file
    candidate.py  the package in ONNX Runtime
    run.py        goes through a log
    document.py, html.py, cli.py  what people and programs get to see

The first five decide and touch nothing; the rest act and decide nothing.
"""
