"""Structured pruning: which channels of which tensors go together, which matter least, and taking them out."""
