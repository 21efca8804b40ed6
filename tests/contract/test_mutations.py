"""The list of mutations is about the code as it is; `python -m tests.mutations` runs it."""

from __future__ import annotations

from tests.mutations import ROOT, mutations


def test_each_mutation_has_one_place_and_tests_that_exist() -> None:
    found = mutations()
    assert len(found) >= 10
    for mutation in found:
        assert mutation.new, mutation.title
        assert len(mutation.places()) == 1, mutation.title
        assert mutation.tests, mutation.title
        for test in mutation.tests:
            path, _, name = test.partition("::")
            assert (
                f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")
                if name
                else (ROOT / path).exists()
            )
