"""PURE. Packing, methods and policies: how a matrix of f32 becomes codes and scales."""
