"""What a sweep shows while it runs, on a live screen and as plain lines."""

from ltbench.sweep.progress import PlainScreen, Tally, make_screen


def test_a_live_screen_shows_each_worker_and_a_plain_one_prints_lines():
    import io

    from rich.console import Console

    events = [
        {"event": "claimed", "task": "t", "name": "train folder", "attempt": 3, "tries": 2},
        {"event": "progress", "stage": "train", "step": 50, "total": 200, "loss": 0.25, "rate": 12.0},
    ]
    live = make_screen(4, 1, Console(file=io.StringIO(), force_terminal=True, width=120))
    for event in events:
        live.event(0, event)
    out = io.StringIO()
    Console(file=out, width=120).print(live.draw())
    assert "train folder" in out.getvalue()
    assert "50/200, loss 0.2500, 12 images/s" in out.getvalue()
    assert "1 of 4 stages done" in out.getvalue()

    text = io.StringIO()
    plain = make_screen(4, 1, Console(file=text, force_terminal=False, width=200))
    assert isinstance(plain, PlainScreen)
    for event in [*events, {"event": "ended", "outcome": "done", "seconds": 3.2, "task": "t", "attempt": 2}]:
        plain.event(0, event)
    assert text.getvalue().splitlines() == [
        "start: train folder (attempt 2)",
        "done: train folder in 3 s (2 of 4 stages done)",
    ]
    assert str(Tally(3, 1, 2)) == "1 of 3 stages done, 2 failed attempts"
