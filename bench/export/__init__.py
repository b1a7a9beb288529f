"""PURE. Our graph and packed weights as files that others run."""
