"""The station on gRPC: inspection, models, health."""
