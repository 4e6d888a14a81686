"""How a process starts, how it is watched, and how it ends.

==============  ==========================================================================
``methods``     the launch contract: what a started child offers, which start methods exist
``fork``        start method *fork*: ``ForkedChild``, which forks and is the parent's handle
``child``       the child's side: put a forked copy in order, run, and leave with an exit code
``lifeline``    children die with their parent, in whatever way it ends
``exits``       what is to run when a process ends, and in which order
``streams``     standard input, output and error around a fork
``stdlib``      keeps the standard library's own multiprocessing objects working in our children
``cpus``        how many CPUs this process may really use
==============  ==========================================================================

Nothing in here knows the public ``Process`` class, pools or contexts: they stand above.
"""
