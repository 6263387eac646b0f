"""The Open Inference Protocol beside the station's own service: same port, same engine, same queue."""
