"""Words that were replaced by those of the libraries and RFCs do not come back."""

import re

import pytest

from app.core.db.migrations import ROOT

# What each of them is called now stands beside it.
REPLACED = {
    "LastResort": "UnhandledErrors",
    "ClaimError": "CallerChangedError",
    "IS_HEARD": "NEEDS_ORM_EVENTS",
    "JoiningSession": "SharedConnectionSession",
    "NOT_KNOWN": "UNSUPPORTED",
    "UnknownError": "NotPlannableError",
    "before_holding": "on_first_use",
    "claim_of": "caller_check_of",
    "count_followers": "bump_dependents",
    "expect_more": "require_transaction",
    "planned_each_time": "force_custom_plan",
    "find_claim": "find_caller_check",
    "ModuleError": "PluginError",
    "OnceDep": "IdempotencyDep",
    "Outbox": "Jobs",
    "PasswordProof": "Reauthentication",
    "ProofAttempts": "ReauthenticationAttempts",
    "StatementDep": "AutocommitSessionDep",
    "ToBeMadeError": "NotCreatedYetError",
    "UnfitError": "CheckFailedError",
    "UnwiseError": "CheckWarningError",
    "get_or_make": "get_or_create",
    "installed_modules": "installed_plugins",
    "is_proven": "is_verified",
    "managed_accounts": "accounts/managed",
    "password_proof": "reauthentication",
    "retiring": "deprecated",
    "tell_of_device": "notify_of_new_device",
    "auth_errors": "auth/errors",
}
EMPTY_NAMES = {"utils", "helpers", "common", "misc"}
TEXTS = [
    path
    for folder, ending in (("app", "*.py"), ("app", "*.j2"), ("docs", "*.md"))
    for path in (ROOT / folder).rglob(ending)
]
TEXTS += [ROOT / name for name in ("README.md", "AGENTS.md")]


@pytest.mark.parametrize("word", REPLACED)
def test_a_replaced_word_does_not_come_back(word: str) -> None:
    found = [str(path.relative_to(ROOT)) for path in TEXTS if re.search(rf"\b{word}\b", path.read_text())]
    assert found == [], f"say {REPLACED[word]}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    names = [path for path in (ROOT / "app").rglob("*") if path.stem in EMPTY_NAMES and "__pycache__" not in path.parts]
    assert names == []
