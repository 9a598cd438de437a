from wsss.core.files.atomic import write_text


def test_write_text_replaces_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "one")
    write_text(path, "µ")
    assert path.read_text(encoding="utf-8") == "µ"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
