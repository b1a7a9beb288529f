"""PURE. What is asked for: requests, the matrix they are expanded from, and their seeded order."""
