"""Variants as users would write them, in files of their own: what the seams of the model are for."""
