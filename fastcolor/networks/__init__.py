"""Generators and critics, each rebuilt from its config, and their weights files."""
