import pytest

from wsss.core.errors import UserError
from wsss.core.shard import Shard


@pytest.mark.parametrize("count", [0, 1, 5, 100])
@pytest.mark.parametrize("of", [1, 2, 7])
def test_the_parts_in_order_are_the_whole(count, of):
    items = list(range(count))
    parts = [Shard(i, of).part(items) for i in range(1, of + 1)]
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_from_text():
    assert Shard.parse("2/7") == (2, 7)
    for wrong in ("0/7", "8/7", "2", "2/", "-1/3", "1/0", "a/b"):
        with pytest.raises(UserError, match=rf"--shard {wrong}: .*give 1/N to N/N"):
            Shard.parse(wrong)
