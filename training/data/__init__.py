"""Pictures with labels: the values, one importer per layout, and the way from a sample to a batch."""
