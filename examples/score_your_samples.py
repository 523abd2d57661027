"""Score images that any generator made: here held-out digits, plain and with noise on them."""

import numpy as np

import ltbench as lt


def main() -> None:
    digits = lt.load_dataset("digits_lt", imbalance_ratio=0.1)
    real = digits.heldout
    stream = np.random.default_rng(0)
    for name, sd in (("real", 0), ("noisy", 40), ("very noisy", 100)):
        noise = stream.normal(0, sd, real.images.shape)
        images = np.clip(real.images + noise, 0, 255).astype(np.uint8)
        table = lt.score(images, real.labels, digits, metrics="frechet,precision_recall", cache="cache")
        overall = table[table["scope"] == "overall"].set_index("metric")["value"]
        shown = ", ".join(f"{metric} {overall[metric]:.3f}" for metric in ("frechet", "precision", "recall"))
        print(f"{name:10} {shown}")


if __name__ == "__main__":
    main()
