"""Many stations from one desk: `lineside deploy`.

    inventory.py  which stations there are, from a TOML file
    asking.py     what they say of themselves, all at once
    standing.py   what of that a person should look at
    table.py, page.py, status.html.j2  shown as text, JSON, HTML
    plan.py       who goes first, and what is watched
    verdict.py    what a station's figures say of the new model
    journal.py    how far a roll-out came, on the disk
    worker.py     one station's way: push, prepare, activate, watch, confirm
    rollout.py    all stations' way: canaries, waves, stop, undo
    cli.py        parses and shows

inventory, standing, plan and verdict decide and touch nothing; the others act and decide nothing.
"""
