"""PURE. The graph executed in NumPy: the truth that every kernel is held to."""
