"""Named segments: what a program asks to have in /dev/shm, and nothing stays there for ever.

``segments``     make, open and unlink a segment
``places``       where the records of segments lie, and how they are written
``membership``   this process's part in its family's record
``sweeping``     what becomes of a dead family's segments

A family (all processes that share an arena) answers for the segments that its members create. Its
record is a directory, in which each segment has an entry before it gets its name. No process
watches over it: who uses named segments next finds what a dead family left, and removes it. Whoever
only opens a segment never becomes responsible for it.

Whether a family lives, the kernel tells, in two ways. Members that create segments hold a lock on
the directory, which goes with the last of them and their forks. And all members map the arena,
whether they know of the segments or not.

What a SIGKILL leaves, step by step:

1. The segment is made without a name, in its full size: nothing.
2. The entry is written, with the segment's inode: an entry that is dropped one day.
3. The segment gets its name: a segment that is swept once the family is dead.
4. It loses its name: an entry that is dropped.
5. The entry is dropped: nothing.

An entry counts only for the very file it was written for: a name that is somebody else's by now
stays.
"""
