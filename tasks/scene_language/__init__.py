"""Task files of the family scene_language."""
