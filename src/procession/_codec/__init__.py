"""Objects ↔ bytes: what travels between a parent and its workers, and in which form.

``messages``    the kinds of records in a pool's rings
``objects``     arguments and results: plain pickle first, by value where that fails
``functions``   functions: sent once, then named by number
``exceptions``  errors: as themselves with the remote traceback, else as a RemoteError
"""
