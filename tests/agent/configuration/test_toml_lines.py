"""Line numbers in a TOML file."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from agent.configuration.toml_lines import line_of, lines_of


def test_lines_are_found_in_sections_arrays_of_tables_and_long_texts():
    text = '''\
top = 1
[a] # c
b = """
not = 1
"""
"q" = [
  "x = 1",
]
c.d = 2
[[device]]
id = 1
[[device]]
id = 2
[device.sub]
k = 3
'''
    assert tomllib.loads(text)
    lines = lines_of(text)
    assert [line_of(p, lines) for p in ("top", "a.b", "a.q", "a.q[1]", "a.c.d", "a.zzz", "nothing")] == [
        1,
        3,
        6,
        6,
        9,
        2,
        None,
    ]
    assert [line_of(p, lines) for p in ("device[1].id", "device[2].id", "device[2].sub.k", "device[2].new")] == [
        11,
        13,
        15,
        12,
    ]


@given(st.text(max_size=300))
def test_any_text_has_lines(text):
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_of(text).values())
