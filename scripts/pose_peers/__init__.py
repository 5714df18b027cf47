"""Published evaluations of camera poses beside ours, for conformance_pose.py.

`cases` has sequences, made and real, and our scores of them; `angular` peers that compare pairs,
`along` those that compare whole trajectories, `pooled` what evaluations make of many sequences.
"""
