"""Listings answer without torch, say the same as with it, and leave the process as it was."""

import json
import subprocess
import sys
import textwrap

import pytest


def python(code, **kwargs):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, **kwargs
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "command", ["methods", "metrics", "datasets", "presets", "settings", "plan --on list"]
)
def test_listings_import_neither_torch_nor_diffusers(command):
    python(f"""
        import sys
        from ltbench.cli.app import main
        try:
            main({command.split()!r})
        except SystemExit as end:
            assert not end.code
        slow = {{'torch', 'diffusers', 'sklearn', 'matplotlib'}} & set(sys.modules)
        assert not slow, slow
    """)


def test_the_registries_are_the_same_with_and_without_stand_ins():
    code = """
        import json, sys
        if {real}:
            import torch
        from ltbench.cli.light import lightly

        def read():
            from ltbench.extractors.registry import known_extractors
            from ltbench.method.registry import METHODS, describe, legal_pairs
            from ltbench.metrics.registry import REGISTRY

            metrics = [(m.name, m.definition, [o.name for o in m.outputs]) for m in REGISTRY.values()]
            return [repr(describe()), legal_pairs(), metrics, METHODS.broken(), repr(known_extractors())]

        found = lightly(read)
        assert ("torch" in sys.modules) == {real}
        print(json.dumps(found))
    """
    light, real = (json.loads(python(code.format(real=real))) for real in (False, True))
    assert light == real
    assert "coral" in light[0]


def test_afterwards_the_real_libraries_are_imported():
    python("""
        from ltbench.cli.light import light_imports
        with light_imports():
            from ltbench.method.registry import known_methods
            from ltbench.metrics.frechet import frechet_distance as stand_in_world
        import ltbench.method.registry, torch
        from ltbench.metrics.frechet import frechet_distance
        assert torch.ones(2).sum() == 2 and frechet_distance is not stand_in_world
        assert ltbench.method.registry.create("cbdm", {}).name == "cbdm"
    """)


def test_an_extension_that_computes_while_it_is_imported_is_listed_with_the_real_libraries(tmp_path):
    (tmp_path / "thirdparty.py").write_text(
        "import torch\n"
        "from ltbench.method import Method\n"
        "assert float(torch.ones(3).sum()) == 3.0\n"
        "class Late(Method):\n    name = 'late'\n    paper = 'nobody, nowhere'\n"
    )
    info = tmp_path / "thirdparty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ltbench.methods]\nlate = thirdparty:Late\n")
    shown = python(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from ltbench.cli.app import main
        try:
            main(["methods"])
        except SystemExit:
            pass
    """)
    assert "late  nobody, nowhere" in shown
    assert "coral" in shown
