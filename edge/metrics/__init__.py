"""Figures for Prometheus: what is counted stands beside its subject, one file each; server.py shows them."""
