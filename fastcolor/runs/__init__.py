"""The run folder: what is in it, who may write there, what must not change."""
