"""The screen: one more consumer of a Session, over the same Pipeline as text and JSON.

``app`` asks for a ``Snapshot`` a few times a second and hands the answer down to
``widgets``; wishes come up as messages. Nothing here touches a table of flows.
"""
