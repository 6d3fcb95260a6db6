"""The table of blocks says what was found of each, and warns first."""

from featdiff.reporting import blocks


def test_the_table_has_a_row_for_each_block_of_each_network_and_the_warnings_before_it():
    found = {
        "channels": {"encoder0": 8, "middle": 512},
        "dead": {"encoder0": {"0.1": 0.0, "1": 0.25}, "middle": {"0.1": 0.8, "1": 0.9}},
        "dead_always": {"encoder0": 0.0, "middle": 0.78},
        "gradient": {"encoder0": 0.1234, "middle": 0.002},
        "worth": {"encoder0": {"0.1": 3.44, "1": 2.1}, "middle": {"0.1": -0.02, "1": -0.03}},
        "warnings": ["middle is dead: 400 of its 512 channels"],
    }
    mixture = found | {"worth": {}, "warnings": []}
    page = blocks.table([blocks.Looked("guided", "guided model", found), blocks.Looked("mixture", "mixture", mixture)])
    assert page.index("guided model: middle is dead: 400 of its 512 channels.") < page.index("<table")
    assert page.count('scope="row"') == 4 and "mixture: middle" not in page
    for text in ("78%", "80% to 90%", "0% to 25%", "0.12", "0.002", "3.44", "at 0.1"):
        assert text in page
    assert blocks.table([]) == ""
