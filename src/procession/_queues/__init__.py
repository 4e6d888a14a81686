"""Queues between processes, in the family's shared memory.

``queues`` has the three kinds, ``ends`` what stands for their readable and writable end where
programs ask for one. The mechanism is the core's (``core/queue.md``): an object that was put is
in the queue when ``put()`` returns, and no thread and no pipe stands between.
"""
