"""One photo file to pixels and back, and folders of them."""
