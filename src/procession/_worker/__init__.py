"""The child's side of a pool: claim a task, run it, answer, again.

``loop``    a worker's life from its seat to its exit code
``invoke``  one task: decode, call, encode; every outcome is an answer
"""
