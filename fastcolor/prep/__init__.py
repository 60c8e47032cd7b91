"""Preparation of photo folders, one function per script of `data_prep`."""
