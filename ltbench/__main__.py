"""``python -m ltbench`` is ``ltbench``; torchrun needs it: ``torchrun --nproc_per_node=2 -m ltbench run ...``."""

from ltbench.cli.app import main

if __name__ == "__main__":
    main()
