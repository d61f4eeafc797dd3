"""Parsing: what becomes of text, and of what YAML would make of it."""

import json

import pytest

from order_intake.errors import InvalidOrder
from order_intake.parsing import MAX_BYTES, parse
from order_intake.tree import MAX_VALUES, Unquoted


def _codes(body: bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidOrder) as caught:
        parse(body)
    return [(error.code, error.field) for error in caught.value.errors]


def test_yaml_and_json_give_the_same_tree() -> None:
    tree = {"a": ["b", {"c": "d"}, []], "e": None, "f": {}}

    assert parse(b"a: [b, {c: d}, []]\ne:\nf: {}").tree == tree
    assert parse(json.dumps(tree).encode()).tree == tree
    assert parse(json.dumps(tree, indent="\t").encode()).tree == tree


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1.10", "a number"),
        ("0777", "a number"),
        ("0x1f", "a number"),
        ("1_000", "a number"),
        (".inf", "a number"),
        ("22:22", "a number"),
        ("2026-11-23", "a date"),
        ("2026-11-23 10:00:00", "a date"),
        ("yes", "a boolean"),
        ("Off", "a boolean"),
        ("true", "a boolean"),
    ],
)
def test_what_yaml_reads_as_something_else_stays_recognisable_text(text: str, kind: str) -> None:
    assert parse(f"a: {text}".encode()).tree == {"a": Unquoted(text, kind)}
    assert parse(f"a: '{text}'".encode()).tree == {"a": text}


def test_json_numbers_and_booleans_are_as_unquoted_as_yaml_s() -> None:
    tree = parse(b'{"a": 1.10, "b": 3, "c": true, "d": NaN, "e": null}').tree

    assert tree == {
        "a": Unquoted("1.10", "a number"),
        "b": Unquoted("3", "a number"),
        "c": Unquoted("true", "a boolean"),
        "d": Unquoted("NaN", "a number"),
        "e": None,
    }


def test_keys_are_text_whatever_they_look_like() -> None:
    assert parse(b"1: a\nyes: b\n~: c").tree == {"1": "a", "yes": "b", "": "c"}


def test_a_merge_key_merges_nothing() -> None:
    assert parse(b"<<: {a: b}").tree == {"<<": {"a": "b"}}


def test_a_byte_order_mark_and_characters_beyond_the_first_plane_are_read() -> None:
    assert parse("\ufeffa: 🚀".encode()).tree == {"a": "🚀"}
    assert parse(b'{"a": "\\ud83d\\ude80"}').tree == {"a": "🚀"}


def test_half_a_character_is_refused() -> None:
    assert _codes(b'{"a": ["\\ud83d"]}') == [("order.encoding", "a[0]")]


def test_every_duplicate_key_is_named_and_the_first_value_stays() -> None:
    document = parse(b"a: {b: 1, b: {c: 2}}\nd: [{e: x, e: y}]\na: z")

    assert [(problem.code, problem.field) for problem in document.problems] == [
        ("yaml.duplicate_key", "a.b"),
        ("yaml.duplicate_key", "d[0].e"),
        ("yaml.duplicate_key", "a"),
    ]
    assert document.tree == {"a": {"b": Unquoted("1", "a number")}, "d": [{"e": "x"}]}


def test_tags_and_anchors_are_noted_and_the_rest_is_read() -> None:
    document = parse(b"a: !!str x\nb: &anchor y\nc: !mine [z]")

    assert [(problem.code, problem.field) for problem in document.problems] == [
        ("yaml.tag", "a"),
        ("yaml.anchor", "b"),
        ("yaml.tag", "c"),
    ]


def test_the_limits_are_exact() -> None:
    assert parse(b"[" * 20 + b"]" * 20).tree is not None
    assert _codes(b"[" * 21 + b"]" * 21)[0][0] == "yaml.depth"
    assert parse(b"a: " + b"x" * (MAX_BYTES - 3)).tree is not None
    assert _codes(b"a: " + b"x" * (MAX_BYTES - 2)) == [("order.too_large", "")]
    assert parse(b"[" + b"a," * (MAX_VALUES - 1) + b"]").tree is not None
    assert _codes(b"[" + b"a," * MAX_VALUES + b"]")[0][0] == "yaml.too_many_values"


def test_a_list_as_key_is_refused() -> None:
    assert _codes(b"a:\n  ? [b]\n  : c") == [("yaml.key", "a")]


def test_a_syntax_error_says_where() -> None:
    with pytest.raises(InvalidOrder) as caught:
        parse(b"a: b\nc: [d")

    assert "line 3, column 1" in caught.value.errors[0].message or "line 2" in caught.value.errors[0].message
