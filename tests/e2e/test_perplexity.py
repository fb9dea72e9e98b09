"""`quatrain perplexity` against Transformers' figures for the same windows."""
import json
import os
import pathlib
import re
import subprocess

import pytest

from cluster import QUATRAIN

REFERENCE = os.environ.get("QUATRAIN_REFERENCE_DIR")
pytestmark = pytest.mark.skipif(
    not REFERENCE, reason="QUATRAIN_REFERENCE_DIR is not set: it holds the held-out text")


@pytest.mark.parametrize("model", ["tales-8m-awq", "tales-8m"])
@pytest.mark.parametrize("flags", [[], ["--tp", "3", "--pp", "2"]], ids=["alone", "tp3 pp2"])
def test_perplexity(model, flags):
    reference = pathlib.Path(REFERENCE)
    golden = json.loads((reference / f"models/goldens/{model}.perplexity.json").read_text())
    done = subprocess.run(
        [QUATRAIN, "perplexity", reference / "models" / model,
         reference / "corpus/stories-heldout.txt", "--max-windows",
         str(len(golden["mean_nll_per_window"])), "--per-window", *flags],
        capture_output=True, text=True, check=True, timeout=300)
    *windows, summary = done.stdout.splitlines()
    perplexity, scored = re.match(r"perplexity (\S+) over (\d+) tokens", summary).groups()
    assert int(scored) == golden["tokens_scored"]
    assert abs(float(perplexity) / golden["perplexity"] - 1) < 1e-3
    for ours, theirs in zip(windows, golden["mean_nll_per_window"], strict=True):
        assert abs(float(ours) - theirs) < 1e-3
