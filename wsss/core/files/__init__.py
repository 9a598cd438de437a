"""Reading and writing files: whole or not at all, each kind through one module."""
