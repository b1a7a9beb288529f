"""PURE. Intervals, warm-up and summaries of samples."""
