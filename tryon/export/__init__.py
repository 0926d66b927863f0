"""A whole student as one ONNX file."""
