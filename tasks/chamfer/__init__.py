"""Task files of the family chamfer."""
