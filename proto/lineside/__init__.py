"""The contract of Lineside: what a station and the training both need, and nothing else.

Importable with numpy and protobuf alone, except `lineside.pixels` (needs OpenCV) and
`lineside.client` (needs grpcio, and pyzmq for feedback).
"""

__version__ = "0.1.0"
