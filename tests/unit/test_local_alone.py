"""Two runs in one folder would share a database that ends with the first of them."""

from pathlib import Path

import pytest

from queueworker_operator.errors import InvalidSettings
from queueworker_operator.local.run import alone_in


def test_a_second_run_in_a_folder_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with (
        alone_in(tmp_path),
        pytest.raises(InvalidSettings, match="another `local` runs in"),
        alone_in(tmp_path),
    ):
        pass

    with alone_in(tmp_path):
        pass
