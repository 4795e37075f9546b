"""The sandbox of an agency: a code beside its own under which a program tries everything and nothing counts.

`bkh-sandbox` is no agency: accounts registers none of this name, nobody holds a role at it, and no list shows it.
Rows, rights and books are told apart by the code alone, so that no flag can disagree with it.
"""

SUFFIX = "-sandbox"
LABEL = "thử nghiệm"
"""Behind the agency's name, wherever somebody is shown what belongs to its sandbox."""


def of(agency: str) -> str:
    """The sandbox of an agency; of a sandbox, itself."""
    return agency if is_sandbox(agency) else agency + SUFFIX


def real(agency: str) -> str:
    """The agency whose sandbox this is; of an agency, itself."""
    return agency.removesuffix(SUFFIX)


def is_sandbox(agency: str) -> bool:
    return agency.endswith(SUFFIX)


def called(agency: str, name: str, word: str = LABEL) -> str:
    """How people are shown whose it is: the agency's name, and behind it, of a sandbox, the word for one."""
    return f"{name} · {word}" if is_sandbox(agency) else name


def in_sql(column: str) -> str:
    """The same question to PostgreSQL, about a column."""
    return f"right({column}, {len(SUFFIX)}) = '{SUFFIX}'"
