"""The photos of a run: which ones, decoded once, cut into batches."""
