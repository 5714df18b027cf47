"""Published evaluations of depth, each a function of the peers' folder and a case of `cases`.

`lineage` has CUT3R's and its copies, `marigold` and `unidepth` what needs their data sets' masks
and crops, `functions` packages whose metrics take arrays.
"""
