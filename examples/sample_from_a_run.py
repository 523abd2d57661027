"""Draw the rarest class from one trained network at several guidance scales, as a contact sheet."""

import numpy as np
from PIL import Image

import ltbench as lt

SHORT = {"train.steps": 100, "train.warmup_steps": 5, "sample.per_class": 8}


def main() -> None:
    (run,) = lt.run(lt.load_study("demo", methods="ddpm", **SHORT), out="runs", progress=False)
    model = run.model()
    labels = np.full(10, 9)
    rows = []
    for guidance in (0.0, 1.0, 3.0):
        images = lt.sample(model, labels, guidance=guidance, seed=0)  # the same noise in each row
        rows.append(np.concatenate(list(images[:, 0]), axis=1))
        print(f"guidance {guidance:g}: mean brightness {images.mean():.1f}")
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((sheet.width * 4, sheet.height * 4), Image.Resampling.NEAREST).save("sheet.png")
    print("sheet.png: one row a guidance scale")


if __name__ == "__main__":
    main()
