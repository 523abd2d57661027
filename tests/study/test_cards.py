"""Hours on a card: peak times share by hand, and one published run inside the range."""

import re
from pathlib import Path

import pytest

from ltbench.errors import UsageError
from ltbench.specs import RunSpec
from ltbench.study.cards import Card, get_card, known_cards, seconds_of

ROOT = Path(__file__).resolve().parents[2]


def test_seconds_are_flops_by_sustained_speed_in_each_stages_precision():
    card = Card("x", "X", None, {"fp32": (1e12, 2e12), "bf16": (4e12, 8e12)}, "")
    spec = RunSpec.model_validate({"train": {"precision": "bf16"}, "sample": {"precision": "fp32"}})
    # training: 16e12 / 8e12 = 2 to 16e12 / 4e12 = 4; sampling: 6e12 / 2e12 = 3 to 6e12 / 1e12 = 6
    assert seconds_of(card, spec, 16e12, 6e12) == (5.0, 10.0)


def test_the_table_is_ordered_as_the_hardware_is():
    cards = known_cards()
    assert {"h100", "a100", "rtx4090", "t4"} <= set(cards)
    for card in cards.values():
        speeds = [card.speed[p] for p in ("fp32", "tf32", "bf16") if p in card.speed]
        assert all(0 < low <= high for low, high in speeds)
        most = [high for _, high in speeds]
        assert most == sorted(most)  # a mode with fewer bits is never expected to be slower
    for slower, faster in (("t4", "a100"), ("a100", "h100"), ("rtx3090", "rtx4090")):
        assert cards[slower].speed["fp32"][1] < cards[faster].speed["fp32"][1]


def test_a_card_without_a_precision_says_what_to_set():
    with pytest.raises(UsageError, match=r"NVIDIA T4 has no bf16: add --set train\.precision=fp32"):
        get_card("t4").seconds(1e12, "bf16")


@pytest.mark.parametrize("name", ["H100", "nvidia h100", "NVIDIA-H100", " h100 "])
def test_names_are_taken_as_people_write_them(name):
    assert get_card(name).key == "h100"


def test_a_measured_speed_may_be_given():
    assert get_card("30").seconds(6e13, "bf16") == (2.0, 2.0)
    assert get_card("30TFLOPS").seconds(6e13, "fp32") == (2.0, 2.0)


@pytest.mark.parametrize("name", ["h10", "0", "-3", "nan", "inf", ""])
def test_other_words_end_in_one_sentence(name):
    with pytest.raises(UsageError, match="--on"):
        get_card(name)


def test_published_training_speed_of_the_papers_network_is_inside_the_assumed_share():
    """Ho et al. 2020, appendix B: 21 steps/s at batch 128 on a TPU v3-8 of 420 TFLOP/s in bf16; 6.06 GMAC an image."""
    reached = 21 * 128 * 3 * 2 * 6.06e9 / 420e12
    bf16 = known_cards()["h200"].speed["bf16"]
    assert bf16[0] <= reached * 989e12 <= bf16[1]


def measured():
    """The committed tables of benchmarks/gpu.sh by card, as (precision, TFLOP/s of each training row)."""
    for path in sorted((ROOT / "benchmarks").glob("GPU-*.md")):
        rows = re.findall(
            r"^\| training, (\w+).*?([\d.]+) TFLOP/s", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        yield path.name, [(precision, float(speed)) for precision, speed in rows]


def test_a_measured_cards_range_holds_each_training_that_was_measured_and_names_its_table():
    tables = dict(measured())
    card = known_cards()["h100"]
    assert card.source == "measured: benchmarks/GPU-NVIDIA-H100-80GB-HBM3.md"
    rows = tables["GPU-NVIDIA-H100-80GB-HBM3.md"]
    assert {precision for precision, _ in rows} == {"fp32", "tf32", "bf16"}
    for precision, speed in rows:
        low, high = card.speed[precision]
        assert low <= speed * 1e12 <= high


def test_a_measured_cards_range_holds_each_sampling_too():
    """Images a second times 40 evaluations times a forward pass: a third of a training step's work on one image."""
    text = (ROOT / "benchmarks" / "GPU-NVIDIA-H100-80GB-HBM3.md").read_text(encoding="utf-8")
    images, speed = re.search(
        r"^\| training, fp32 \| ([\d,]+) images/s .*?([\d.]+) TFLOP/s", text, re.MULTILINE
    ).groups()
    forward = float(speed) / float(images.replace(",", "")) / 3
    rows = re.findall(r"^\| sampling, (\w+) \| ([\d.]+) images/s .*NFE 40", text, re.MULTILINE)
    assert [precision for precision, _ in rows] == ["fp32", "tf32", "bf16"]
    for precision, rate in rows:
        low, high = known_cards()["h100"].speed[precision]
        assert low <= float(rate) * 40 * forward * 1e12 <= high


def test_the_page_on_gpus_prints_what_was_measured():
    page = (ROOT / "docs" / "howto" / "gpu.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (fp32|tf32|bf16.*?) \| ([\d,]+) \|", page, re.MULTILINE)
    table = (ROOT / "benchmarks" / "GPU-NVIDIA-H100-80GB-HBM3.md").read_text(encoding="utf-8")
    flags = {
        "`": "",
        "--channels-last --": "channels_last, ",
        "--channels-last": "channels_last",
        "cuda-graphs": "CUDA graphs",
    }
    assert len(rows) == 6
    for setting, rate in rows:
        for flag, word in flags.items():
            setting = setting.replace(flag, word)
        assert f"| training, {setting} | {rate} images/s |" in table


def test_the_assumed_shares_hold_what_a_card_was_measured_to_reach():
    """On a card of the same peak that nobody measured."""
    assumed = known_cards()["h200"]
    for precision, speed in dict(measured())["GPU-NVIDIA-H100-80GB-HBM3.md"]:
        low, high = assumed.speed[precision]
        assert 0.93 * low <= speed * 1e12 <= high  # shares are written as whole percents
