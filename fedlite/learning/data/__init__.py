"""Real data, and the rules that deal it to clients."""

from fedlite.learning.data.dataset import Dataset, DatasetError
from fedlite.learning.data.load import load
from fedlite.learning.data.partition import partition
from fedlite.learning.data.partition_error import PartitionError

__all__ = ["Dataset", "DatasetError", "PartitionError", "load", "partition"]
