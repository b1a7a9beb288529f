"""Measures quantized models in real browsers through WebGPU and WebNN, and hides no fallback."""

__version__ = "0.1.0"
