"""`quatrain perplexity` against Transformers' figures for the same windows."""
import json
import os
import pathlib
import re
import subprocess

import pytest

from cluster import QUATRAIN

ROOT = pathlib.Path(__file__).parents[2]
GOLDENS = ROOT / "tests/data/goldens"
SHIPPED = ROOT / "examples/tales-8m-awq"
REFERENCE = os.environ.get("QUATRAIN_REFERENCE_DIR")
LAYOUTS = pytest.mark.parametrize(
    "flags", [[], ["--tp", "3", "--pp", "2"]], ids=["alone", "tp3 pp2"])


def check(model, text, golden_file, flags):
    golden = json.loads(golden_file.read_text())
    done = subprocess.run(
        [QUATRAIN, "perplexity", model, text, "--max-windows",
         str(len(golden["mean_nll_per_window"])), "--per-window", *flags],
        capture_output=True, text=True, check=True, timeout=300)
    *windows, summary = done.stdout.splitlines()
    perplexity, scored = re.match(r"perplexity (\S+) over (\d+) tokens", summary).groups()
    assert int(scored) == golden["tokens_scored"]
    assert abs(float(perplexity) / golden["perplexity"] - 1) < 1e-3
    for ours, theirs in zip(windows, golden["mean_nll_per_window"], strict=True):
        assert abs(float(ours) - theirs) < 1e-3


@LAYOUTS
def test_shipped_model(flags):
    check(SHIPPED, GOLDENS / "stories.txt", GOLDENS / "tales-8m-awq.perplexity.json", flags)


@pytest.mark.skipif(
    not REFERENCE, reason="QUATRAIN_REFERENCE_DIR is not set: it holds the text and the model")
@pytest.mark.parametrize("model", ["tales-8m-awq", "tales-8m"])
@LAYOUTS
def test_longer_text(model, flags):
    reference = pathlib.Path(REFERENCE)
    check(reference / "models" / model, reference / "corpus/stories-heldout.txt",
          reference / f"models/goldens/{model}.perplexity.json", flags)
