"""Published evaluations of point maps: cases of them in `cases`, the peers' own in `functions`."""
