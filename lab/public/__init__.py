"""Captures that others test their programs with: each is read, and its packets are counted.

``fetch`` takes source packages of Debian and PyPI into the lab's cache, ``members`` finds the
captures in them, ``compare`` counts their packets beside capinfos and tcpdump. None of the
captures is kept in the tree.
"""
