"""Task files of the family point_map."""
