"""Looking: at a family of processes from outside, and at a call while it runs.

Nothing here stops what it looks at, or writes to it.

==================  =============================================================================
``families``        finds the shared memory of the family that a process belongs to
``census``          what stands in it, record by record: processes, things, who holds, who waits
``standing``        who holds a thing in fact, by the thing's own word and its holders' records
``deadlocks``       who waits for each other in a circle: a pure function of the above
``memory``          who has how much of the family's memory, and for what
``progress``        how far a call has come: read and shown by one thread while it runs
``progress_meter``  what was counted becomes a rate and the time that is left (pure)
``progress_line``   one line of text about that (pure)
``progress_bars``   where it is shown: a line of our own, tqdm's, rich's, a function of the user's
==================  =============================================================================

The tables of a family are read while it goes on, without a lock. So each record is right by itself,
but two of them need not be of one moment: what is concluded from several (a deadlock) counts only
if a second look finds the very same.
"""
