"""Published protocols by name: their parts, their quirks, and the code whose numbers they give."""
