"""Run a small study from Python, compare its methods seed by seed, and write the report."""

import ltbench as lt

SHORT = {"train.steps": 60, "train.warmup_steps": 3, "sample.per_class": 20}


def main() -> None:
    study = lt.load_study("demo", methods=["ddpm", "coral"], seeds="0..1", **SHORT)
    print(f"{study.title}: {len(study.runs)} runs")

    runs = lt.run(study, out="runs", progress=False)
    for run in runs:
        log = run.train_log()
        print(f"{run.folder.name}: loss {log['loss'].iloc[-1]:.3f} at step {log['step'].iloc[-1]}")

    scores = lt.load_scores("runs")
    differences = lt.compare(scores, baseline="ddpm", where="tail")
    print(differences[["label", "n", "mean", "low", "high"]].to_string(index=False))

    report = lt.report("runs")
    print(f"report: {report.path / 'index.html'}")


if __name__ == "__main__":
    main()
