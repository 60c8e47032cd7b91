"""From a photo to a coloured photo: one way for the command, the page, Python and the tests."""
