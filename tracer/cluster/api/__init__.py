"""The Kubernetes API server behind the names.

``credentials`` finds configurations, ``connection`` speaks HTTP with the one that works,
``kinds`` says which four kinds are read and how, ``wire`` decodes what the server sends,
``stream`` keeps one kind up to date (list, then watch, for ever), ``store`` makes
snapshots of all kinds. No threads here: they are in ``tracer.cluster.watch``.
"""
