"""From a checkout: the same as the command `g2vlm-bench`."""

from g2vlm_bench.cli import main

if __name__ == "__main__":
    main()
