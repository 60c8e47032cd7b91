"""Scripts, folder in, folder out; originals are never touched."""
