"""FedMD: clients with nets of their own teach each other by their answers to public rows.

References
----------
Li, Wang 2019, "FedMD: Heterogenous Federated Learning via Model Distillation", algorithm 1: transfer learning, then in
each round communicate (scores of public rows), aggregate (their mean), digest (learn the mean) and revisit (learn from
one's own rows). The public rows are part of the app, as data that every device already has.
"""
