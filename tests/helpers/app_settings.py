"""A study of seconds for the command line."""

TINY = """
title = "Tiny"
default_for = []
[data]
dataset = "digits_lt"
imbalance_ratio = 0.1
[model]
size = "tiny"
dropout = 0.0
[train]
steps = 3
batch_size = 8
warmup_steps = 0
ema_decay = 0.0
flip = false
[sample]
sampler = "dpmsolver++"
steps = 2
per_class = 4
[score]
metrics = ["frechet"]
floor_draws = 1
"""


def tree(folder):
    """Return every file below a folder: path -> bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


RUN = ("run", "--preset", "../tiny.toml", "--workers", "1", "--device", "cpu", "--out", "runs")
SHORT = ("--set", "train.steps=10", "--set", "train.warmup_steps=0", "--set", "sample.per_class=2")
