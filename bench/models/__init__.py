"""PURE. The graph (the IR every backend executes) and one file a model family that yields it.

Files are read here (`weights`, `tokenize`); only `fetch` reaches beyond the machine, and only `catalog`
calls it.
"""
