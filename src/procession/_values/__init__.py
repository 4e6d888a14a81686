"""C values in the arena: plain ctypes objects on shared bytes, and what puts a lock around them.

``memory`` is the bytes, ``placing`` lays ctypes objects on them and lets those be pickled, and
``synchronized`` wraps such an object together with its lock. The doors ``sharedctypes`` and
``heap`` are made of it; nothing here knows a start method.
"""
