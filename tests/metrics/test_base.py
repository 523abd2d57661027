"""What a metric states of its outputs."""

from ltbench.metrics.base import Output
from ltbench.metrics.registry import REGISTRY, find_output


def test_an_output_states_how_it_is_shown():
    recall, ceiling = find_output("recall"), find_output("coverage_ceiling")
    assert (recall.title, recall.better, recall.decimals, recall.auxiliary) == ("Recall", "higher", 3, False)
    assert ceiling.auxiliary
    assert ceiling.better is None
    assert Output("mean_gap", "lower").title == "Mean gap"
    outputs = {o.name: o for m in REGISTRY.values() for o in m.outputs}
    companions = [o.companion[0] for o in outputs.values() if o.companion]
    assert companions
    assert all(outputs[name].auxiliary for name in companions)
    assert find_output("no such number") is None
