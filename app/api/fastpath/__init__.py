"""The accelerator, which can be taken out without changing an answer."""
