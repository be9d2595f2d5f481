"""What of the pages is not run, or not compared, each with the reason; a line that no page needs any more fails."""

NOT_RUN = {
    "make ": "a target of the Makefile, which continuous integration runs or which takes longer than it may",
    "pip ": "fetches packages; continuous integration installs the same way in the Makefile",
    "python3 -m venv": "makes an environment",
    ". .venv/bin/activate": "enters an environment",
    "export RAY_AUTH_MODE": "sets what Ray reads",
    "ray ": "builds a cluster of several machines",
    "tensorboard ": "a server",
    "mlflow ui": "a server",
    "fedlite run scenarios/quickstart.yaml --log-to tensorboard": "`tests/unit` logs rounds where the extra is",
    "fedlite sweep scenarios/studies/wire-codecs.yaml --log-to mlflow": "the same",
    "python benchmarks/": "minutes to hours; its results are committed",
    "pytest tests/contract --part": "`tests/contract` runs the same battery over the same parts",
    "fedlite doctor": "looks at this machine, and may start Ray",
    "fedlite run scenario.yaml --accelerator cuda": "needs a GPU",
    "fedlite app my-app --fleet scenario.yaml --accelerator cuda": "needs a GPU",
    "fedlite run scenarios/quickstart.yaml --actors 2": "starts Ray",
    "fedlite run scenarios/quickstart.yaml --ray-address": "needs a cluster",
    "fedlite rollout optimise": "hundreds of rehearsals; `tests/unit/rollout` runs smaller searches",
    "fedlite deploy runs/mine --export onnx": "seconds, and needs an extra; `tests/unit/export` runs it where it is",
    "fedlite deploy runs/mine --artefact fp32 --artefact static-int8 --artefact weight-only": "needs three extras; "
    "`tests/unit/export` runs each of them where it is",
}
"""How a command begins -> why it is only parsed."""

SMALLER = "it is run smaller than a reader would"
NOT_COMPARED = {
    "docs/how-to/campaign.md": {"fedlite campaign scenarios/campaign": SMALLER, "fedlite campaign runs/": SMALLER},
    "docs/how-to/rollout.md": {"fedlite rollout plan.yaml": SMALLER},
}
"""Page -> how a command begins -> why what the page shows of its output is not compared."""

EFFORT = {
    "fedlite compress cnn --technique": ["--rows", "100", "--epochs", "1", "--rounds", "2"],
    "fedlite app --resume": ["--backend", "local"],
    "fedlite app digits-app --fleet scenario.yaml --run-config": ["--run-config", "num-server-rounds=2"],
    "fedlite app ": ["--backend", "local", "--run-config", "num-server-rounds=1"],
    "fedlite rollout plan.yaml": ["--replications", "2", "--set", "fleet.devices=200"],
}
"""How a command begins -> options that make it quick."""

GIVEN = {
    "docs/concepts/compression.md": """
import numpy as np

update, seed, client, round_number = [np.linspace(-1, 1, 50, dtype=np.float32)], 7, 3, 1
""",
    "docs/reference/models.md": """
import torch

model, batches = torch.nn.Linear(3, 2), [torch.ones(4, 3)]
train = lambda model, batches: [model(batch).sum().backward() for batch in batches]
""",
}
"""Page -> Python that its snippets take for granted."""
