"""Published evaluations of clouds beside ours, for conformance_clouds.py.

Each function here takes the folder of the peers and a case of `cases`, and gives the peer's numbers
and ours under the same names: `reconstruction` those of mv_recon, `functions` those of packages
whose metrics take arrays, `dtu` and `scans` those of benchmarks, as their programs make them.
"""
