"""(a) No framework: one process, one thread, one client after the other, and a running weighted mean."""

from __future__ import annotations

import numpy as np
import torch
from torch_nets import accuracy, build, local_epoch
from work import SAMPLES, Stopwatch, arguments, data


def main():
    torch.set_num_threads(1)
    work = arguments()
    x, y, rows = data(work)
    x, y = torch.from_numpy(x).to(work.device), torch.from_numpy(y).to(work.device)
    net = build(work.model).to(work.device)
    central = [p.detach().clone() for p in net.parameters()]
    draw = np.random.default_rng(0)
    watch = Stopwatch(work, "bare loop")
    more = True
    while more:
        total = [torch.zeros_like(p) for p in central]
        for client in draw.choice(work.fleet, work.cohort, replace=False):
            with torch.no_grad():
                for p, c in zip(net.parameters(), central, strict=True):
                    p.copy_(c)
            own = torch.from_numpy(rows[client]).to(work.device)
            local_epoch(net, x[own], y[own], work.lr)
            with torch.no_grad():
                for t, p in zip(total, net.parameters(), strict=True):
                    t.add_(p, alpha=SAMPLES)
        central = [t / (SAMPLES * work.cohort) for t in total]
        float(central[0].sum())  # an accelerator is done only when a number is asked for
        more = watch.lap()
    with torch.no_grad():
        for p, c in zip(net.parameters(), central, strict=True):
            p.copy_(c)
    watch.report(accuracy(net, x, y), processes=1, torch=torch.__version__)


if __name__ == "__main__":
    main()
