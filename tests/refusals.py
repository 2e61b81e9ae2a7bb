"""Which explainer refuses which of the small networks, and in which words.

A method that is not named here explains them all: a change of behaviour breaks this table, which
`make golden` writes.
"""

import golden

REFUSED: dict[tuple[str, str], str] = {
    (name, kind): words
    for name, kinds in golden.read(golden.REFUSALS).items()
    for kind, words in kinds.items()
}
