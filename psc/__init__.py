"""psc: private set computation for two companies — available, not visible.

::

    import psc

    node = psc.Node.open("merchant/")
    with node.connect("courier") as courier:
        plan = courier.plan(psc.Match("orders.csv", on={"phone": "mobile"}, dataset="parcels", want=["status"], purpose="P"))
        print(plan)            # what each side will learn, bytes, time, quota
        result = plan.run()
        spent = courier.aggregate("orders.csv", on={"phone": "mobile"}, dataset="parcels", select=[psc.count(), psc.sum("fee")],
                                  group_by="city", purpose="P")

Names are loaded when they are first used, so that ``import psc`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import psc.transport.tls13  # noqa: F401 - sets what gRPC reads when it is first imported, so it comes before

__version__ = "0.1.0"

if TYPE_CHECKING:
    from psc.errors import PscError
    from psc.operations.anyof import AnyOf, any_of
    from psc.operations.plan import Plan
    from psc.operations.progress import Cancel, Progress
    from psc.operations.requests import Aggregate, Count, Match
    from psc.operations.results import AggregateResult, CountResult, MatchResult, RunStats
    from psc.operations.select import count, histogram, mean, std, var, weighted_sum
    from psc.operations.select import sum_of as sum
    from psc.policy.propose import Offer
    from psc.sdk import aio
    from psc.sdk.node import Node
    from psc.sdk.partner import Partner

_PLACES = {
    "Aggregate": "psc.operations.requests",
    "AggregateResult": "psc.operations.results",
    "AnyOf": "psc.operations.anyof",
    "Cancel": "psc.operations.progress",
    "Count": "psc.operations.requests",
    "CountResult": "psc.operations.results",
    "Match": "psc.operations.requests",
    "MatchResult": "psc.operations.results",
    "Node": "psc.sdk.node",
    "Offer": "psc.policy.propose",
    "Partner": "psc.sdk.partner",
    "Plan": "psc.operations.plan",
    "Progress": "psc.operations.progress",
    "PscError": "psc.errors",
    "RunStats": "psc.operations.results",
    "any_of": "psc.operations.anyof",
    "count": "psc.operations.select",
    "histogram": "psc.operations.select",
    "mean": "psc.operations.select",
    "std": "psc.operations.select",
    "sum": "psc.operations.select",
    "var": "psc.operations.select",
    "weighted_sum": "psc.operations.select",
}

_OTHER_NAMES = {"sum": "sum_of"}

__all__ = [
    "Aggregate",
    "AggregateResult",
    "AnyOf",
    "Cancel",
    "Count",
    "CountResult",
    "Match",
    "MatchResult",
    "Node",
    "Offer",
    "Partner",
    "Plan",
    "Progress",
    "PscError",
    "RunStats",
    "__version__",
    "aio",
    "any_of",
    "count",
    "histogram",
    "mean",
    "std",
    "sum",
    "var",
    "weighted_sum",
]


def __getattr__(name: str) -> Any:
    if name == "aio":
        return import_module("psc.sdk.aio")
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'psc' has no attribute {name!r}")
    return getattr(import_module(place), _OTHER_NAMES.get(name, name))


def __dir__() -> list[str]:
    return sorted(__all__)
