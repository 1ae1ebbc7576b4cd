from experiments import benchmark


def test_locating_is_compared_on_ordinary_and_faint_canvases():
    rows = list(benchmark._locate(2, seed=0))
    assert {row.suite for row in rows} == {"locate"}
    assert [row.name.split()[0] for row in rows] == ["ordinary"] * 4 + ["faint"] * 4
    for row in rows:
        assert row.unit in ("%", "ms")
        if row.unit == "ms":
            assert abs(row.ratio - row.peer / row.ours) < 1e-6
        else:
            assert 0 <= row.ours <= 100
    assert rows[0].ours == 100  # both canvases' lines
