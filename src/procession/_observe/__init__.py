"""Looking at a family of processes from outside: nothing here stops it, or writes to it.

=============  ==================================================================================
``families``   finds the shared memory of the family that a process belongs to
``census``     what stands in it, record by record: processes, things, who holds and who waits
``standing``   who holds a thing in fact, by the thing's own word and its holders' records
``deadlocks``  who waits for each other in a circle: a pure function of the above
=============  ==================================================================================

The tables are read while the family goes on, without a lock. So each record is right by itself, but
two of them need not be of one moment: what is concluded from several (a deadlock) counts only if a
second look finds the very same.
"""
