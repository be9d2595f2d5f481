"""Makes `strangers` importable: parts of a user's own are named `strangers:Class`, as in a scenario."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
