"""The mentoring log in the world: other tools' formats, tables, shards in object storage, lineage.

The station never imports this: it writes its log, and everything here reads logs, or writes new ones of its own.
"""
