"""What a line PC needs to talk to a station: grpcio, pyzmq for feedback, and nothing heavier."""
