"""Scripts that prepare photos: folder in, folder out; photos are never changed."""
