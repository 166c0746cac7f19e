"""Where the tests look for material that is not part of the project; they skip with a reason where it is absent."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
DATA = ROOT / "tests" / "data"
