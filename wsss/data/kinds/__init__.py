"""The kinds of data sets, one file each: the recipe, and how it is read."""
