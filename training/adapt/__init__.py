"""What teaches beside labels: a domain judge, a parent's soft answers, a mean teacher. Each is an `Auxiliary`."""
