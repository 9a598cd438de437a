"""The generated data set: textures, objects and their marks, scenes."""
