import pytest

from wsss.core.errors import UserError
from wsss.core.files.id_list import image_id, read_list


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("2007_000032", "2007_000032"),
        ("/JPEGImages/2007_000032.jpg", "2007_000032"),
        ("a/b/x.y.PNG", "x.y"),
        ("scan.001", "scan.001"),
    ],
)
def test_image_id(text, name):
    assert image_id(text) == name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("2007_000032", "2007_000032"),
        ("c.png", "c"),
        ("x.a.JPEG\r", "x.a"),
        ("x.a", "x.a"),
        (".jpg", ".jpg"),
        ("a b", "a b"),
        ("a b.jpg", "a b"),
        ("trailing blank ", "trailing blank"),
        ("/JPEGImages/2007_000039.jpg /SegmentationClassAug/x.png", "2007_000039"),
        ("/x.a.png", "x.a"),
    ],
)
def test_a_line_is_an_id_or_a_published_pair(tmp_path, line, name):
    path = tmp_path / "list.txt"
    path.write_bytes(f"\ufefffirst\n\n{line}\n".encode())
    assert read_list(path) == ["first", name]


def test_ids_with_a_folder_are_refused_by_name(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("001\ndog/001\ncat/001.jpg\n")
    with pytest.raises(UserError) as caught:
        read_list(path)
    text = str(caught.value)
    assert f"{path}: 2 ids name a folder: 'dog/001', 'cat/001'; put the images" in text
    assert "\n" not in text


def test_what_is_no_text(tmp_path):
    with pytest.raises(UserError, match=r"no\.txt: cannot be read \(No such file"):
        read_list(tmp_path / "no.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match=r"latin\.txt: not UTF-8 text"):
        read_list(tmp_path / "latin.txt")
