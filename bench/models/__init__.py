"""PURE. The graph (the IR every backend executes) and one file a model family that yields it."""
