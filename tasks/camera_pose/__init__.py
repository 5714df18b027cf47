"""Task files of the family camera_pose."""
