"""TensorRT engines: built apart from who serves, kept under a key that says what they depend on, looked after."""
