"""Diagnosis: rules that turn evidence into findings.

A *rule* is one file named after its fault. ``state`` rules read cluster and node
state and answer with everything that is wrong right now; ``flow`` rules look at
rows that changed or whose timer ran out. ``RULES`` in ``catalogue.py`` is the
literal list, in order of precedence: a row explained by an earlier rule is not
shown to a later one, so the fallbacks at the end see only what nobody explains.

A *cause* (``causes.py``) is what a rule can find: title, weight, sources, remedy.
The *engine* decides which rows are judged when; the *ledger* keeps one finding per
cause and subject, with counts. Rules share *signs* (what a row shows), *subjects*
(whom rows are about) and *wording* (text in which names of tenants cannot act).
"""
