"""The operator's page: served by the station itself, with nothing fetched from anywhere else."""
