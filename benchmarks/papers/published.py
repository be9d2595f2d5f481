"""What the papers say, study by study: figures where they are certain, else the order of settings.

"order only" stands where the paper's own number is for other data or another net, or is not quoted here.
"""

from __future__ import annotations

from claims import AsGood, Better, Claim, Figure, GainsMore
from measures import Accuracy, ToTarget, UpBytes

SHARDS = "two shards, 10 %"
ONE_CLASS = "FedAvg, one class a client"
TO_97, TO_99 = ToTarget(0.97), ToTarget(0.99)
TO_92_S, TO_92_UPDATES = ToTarget(0.92, "time_s"), ToTarget(0.92, "updates")
FINAL, SHIPPED = Accuracy(), Accuracy(shipped=True)
ORDER = "order only"

PUBLISHED: dict[str, tuple[str, tuple[Claim, ...]]] = {
    "mcmahan-2017-2nn": (
        "McMahan et al. 2017, AISTATS: FedAvg on MNIST, the perceptron (table 1, E = 1, B = 10)",
        (
            Figure("rounds to 97 %, iid, one client a round", "316", "iid, one client", TO_97, 316),
            Figure("rounds to 97 %, iid, 10 % of clients", "87", "iid, 10 %", TO_97, 87),
            Figure("... the same with pixels of 0 to 1", "87", "iid, 10 %, pixels 0 to 1", TO_97, 87),
            Figure("rounds to 97 %, iid, 20 % of clients", "77", "iid, 20 %", TO_97, 77),
            Figure("rounds to 97 %, two shards, 10 % of clients", "664", SHARDS, TO_97, 664),
            Better("10 % need fewer rounds than one client", "3.6 times", "iid, 10 %", "iid, one client", TO_97, 3.6),
            Better("20 % need fewer rounds than 10 %", "1.1 times", "iid, 20 %", "iid, 10 %", TO_97, 87 / 77),
            Better("iid needs fewer rounds than two shards", "7.6 times", "iid, 10 %", SHARDS, TO_97, 664 / 87),
        ),
    ),
    "mcmahan-2017-cnn": (
        "McMahan et al. 2017, AISTATS: FedAvg on MNIST, the convolutional net (table 2, C = 0.1, E = 1, B = 10)",
        (Figure("rounds to 99 %, iid", "34", "iid, 10 %", TO_99, 34),),
    ),
    "qsgd-2017-top-k-2018": (
        "Alistarh et al. 2017, Stich et al. 2018, NeurIPS: few bits, few coordinates",
        (
            AsGood("8 bits are as accurate as 32", ORDER, "8 bits", "32 bits", FINAL),
            AsGood("4 bits are as accurate as 32", ORDER, "4 bits", "32 bits", FINAL),
            Better("4 bits send fewer bytes than 32", ORDER, "4 bits", "32 bits", UpBytes()),
            AsGood("top 1 % with memory is as accurate as all", ORDER, "top 1 % with memory", "32 bits", FINAL),
            Better("top 1 % is better with memory", ORDER, "top 1 % with memory", "top 1 % without memory", FINAL),
        ),
    ),
    "nguyen-2022-fedbuff": (
        "Nguyen et al. 2022, AISTATS: FedBuff against synchronous and asynchronous servers",
        (
            Better(
                "FedBuff gets to 92 % sooner than a server that waits for all",
                ORDER,
                "FedBuff, 10 of 39",
                "synchronous, all of 30",
                TO_92_S,
            ),
            Better(
                "... sooner than one that over-selects",
                ORDER,
                "FedBuff, 10 of 39",
                "synchronous, 30 of 39",
                TO_92_S,
            ),
            Better(
                "... with fewer updates than one that over-selects",
                "3.3 times (abstract)",
                "FedBuff, 10 of 39",
                "synchronous, 30 of 39",
                TO_92_UPDATES,
                3.3,
            ),
            Better(
                "... with fewer updates than FedAsync",
                "up to 2.5 times (abstract)",
                "FedBuff, 10 of 39",
                "FedAsync, 39 at work",
                TO_92_UPDATES,
                2.5,
            ),
        ),
    ),
    "heterofl-2021": (
        "Diao, Ding, Tarokh 2021, ICLR: HeteroFL on MNIST, iid",
        (
            AsGood("the largest net of a-c is as good as if all train a", ORDER, "a-c", "a", FINAL),
            AsGood("the largest net of a-b-c-d is as good as if all train a", ORDER, "a-b-c-d", "a", FINAL),
            Better(
                "a is better than c, as devices get it",
                ORDER,
                "a",
                "c",
                SHIPPED,
                but="because c, scaled, does not learn",
            ),
            AsGood("a-c as plain slices, against a", ORDER, "a-c, not scaled", "a", FINAL),
            AsGood("a-b-c-d as plain slices, against a", ORDER, "a-b-c-d, not scaled", "a", FINAL),
            Better("a is better than c as a plain slice, as devices get it", ORDER, "a", "c, not scaled", SHIPPED),
        ),
    ),
    "li-2020-fedprox": (
        "Li et al. 2020, MLSys: FedProx with stragglers (figure 1)",
        (
            Better(
                "90 % stragglers: FedProx is better than FedAvg, which drops them",
                "22 points (abstract; mean of five data sets)",
                "FedProx mu 1, 90 % partial",
                "FedAvg, 90 % dropped",
                FINAL,
                0.22,
            ),
            Better(
                "90 % stragglers: so is partial work without the term",
                ORDER,
                "FedProx mu 0, 90 % partial",
                "FedAvg, 90 % dropped",
                FINAL,
            ),
            Better(
                "50 % stragglers: FedProx is better than FedAvg",
                ORDER,
                "FedProx mu 1, 50 % partial",
                "FedAvg, 50 % dropped",
                FINAL,
            ),
            Better(
                "no stragglers: the term alone is better than none",
                ORDER,
                "FedProx mu 1, no stragglers",
                "FedAvg, no stragglers",
                FINAL,
            ),
            Better(
                "FedAvg suffers from dropping 90 %",
                ORDER,
                "FedAvg, no stragglers",
                "FedAvg, 90 % dropped",
                FINAL,
            ),
        ),
    ),
    "mcmahan-2018-dp": (
        "McMahan et al. 2018, ICLR: user-level differential privacy",
        (
            AsGood("many users, noise 1: as accurate as clipping alone", ORDER, "500, noise 1", "500, clipped", FINAL),
            AsGood(
                "many users, noise 1: as accurate as no privacy", ORDER, "500, noise 1", "500 without privacy", FINAL
            ),
            Better("the same noise hurts less with more users", ORDER, "500, noise 1", "50, noise 1", FINAL),
            Better("few users: noise hurts", ORDER, "50, clipped", "50, noise 1", FINAL),
            Better("less noise is better", ORDER, "500, noise 1", "500, noise 3", FINAL),
        ),
    ),
    "hsu-2019-fedavgm": (
        "Hsu, Qi, Brown 2019: one-sided clients and momentum on the server, CIFAR-10",
        (
            Better("FedAvg is better at alpha 100 than at 1", ORDER, "FedAvg, alpha 100", "FedAvg, alpha 1", FINAL),
            Better("... at alpha 1 than at 0.1", ORDER, "FedAvg, alpha 1", "FedAvg, alpha 0.1", FINAL),
            Better("... at alpha 0.1 than with one class a client", ORDER, "FedAvg, alpha 0.1", ONE_CLASS, FINAL),
            Better("momentum helps at alpha 100", ORDER, "FedAvgM, alpha 100", "FedAvg, alpha 100", FINAL),
            Better("... at alpha 1", ORDER, "FedAvgM, alpha 1", "FedAvg, alpha 1", FINAL),
            Better("... at alpha 0.1", ORDER, "FedAvgM, alpha 0.1", "FedAvg, alpha 0.1", FINAL),
            Better(
                "... with one class a client",
                "46.8 points (abstract: 30.1 to 76.9 %)",
                "FedAvgM, one class a client",
                ONE_CLASS,
                FINAL,
                0.468,
            ),
            GainsMore(
                "momentum helps more at alpha 1 than at 100",
                ORDER,
                ("FedAvgM, alpha 1", "FedAvg, alpha 1"),
                ("FedAvgM, alpha 100", "FedAvg, alpha 100"),
                FINAL,
            ),
            GainsMore(
                "... more at alpha 0.1 than at 1",
                ORDER,
                ("FedAvgM, alpha 0.1", "FedAvg, alpha 0.1"),
                ("FedAvgM, alpha 1", "FedAvg, alpha 1"),
                FINAL,
            ),
        ),
    ),
    "reddi-2021-adaptive": (
        "Reddi et al. 2021, ICLR: adaptive optimisers on the server, Shakespeare (table 1)",
        (
            AsGood("FedAdagrad is as accurate as FedAvg", ORDER, "FedAdagrad", "FedAvg", FINAL),
            AsGood("FedAdam is as accurate as FedAvg", ORDER, "FedAdam", "FedAvg", FINAL),
            AsGood("FedYogi is as accurate as FedAvg", ORDER, "FedYogi", "FedAvg", FINAL),
            AsGood("FedAvgM is as accurate as FedAvg", ORDER, "FedAvgM", "FedAvg", FINAL),
            AsGood("FedAvg is as accurate as FedAvgM", ORDER, "FedAvg", "FedAvgM", FINAL),
            AsGood("... as FedAdagrad", ORDER, "FedAvg", "FedAdagrad", FINAL),
            AsGood("... as FedAdam", ORDER, "FedAvg", "FedAdam", FINAL),
            AsGood("... as FedYogi", ORDER, "FedAvg", "FedYogi", FINAL),
            AsGood("... as FedAdam, with client rate 2", ORDER, "FedAvg, client rate 2", "FedAdam", FINAL),
        ),
    ),
}
"""Study -> title, claims."""
