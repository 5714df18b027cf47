"""Published scorers of answers as functions of text and truth, for conformance_answers.py.

`checkouts` takes functions out of the peers' files. A module for each of our profiles of scorers
says which of them a rule of that profile is held to: `official`, `lmms_eval`, `vlmevalkit`; in
`rules` is what they share. `means` does the same for means.
"""
