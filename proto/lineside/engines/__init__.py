"""TensorRT engines as both sides see them: what names one, where it lies, and who may load it.

`export` builds and stores them, the station reads and runs them. TensorRT itself is imported in `tensorrt_api` alone,
and only when somebody asks for it.
"""
