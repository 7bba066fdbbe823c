"""A trained network outside of Python: ONNX files, and one HTML page. Needs torch, not Lightning."""
