"""How good colours are on a folder of photos."""
