"""How a process starts, how it is watched, and how it ends.

``methods``       the launch contract: what a started child offers, which start methods exist
``kept``          descriptors that are kept for long, and may be closed by the program
``handle``        the parent's handle on a child: watched, signalled, reaped
``fork``          start method *fork*: a copy of this process
``spawn``         start method *spawn*: a fresh interpreter, which gets a parcel
``forkserver``    start method *forkserver*: a fork of the zygote, which gets a parcel
``zygote``        the family's fork server itself
``door``          the way to it
``learning``      which modules it imports besides: those that tasks imported
``parcel``        what a child that is no copy gets: a pickle, and descriptors
``description``   what such a child is told first, told by the parent
``preparation``   the same in the child: search path, arguments, the program's main module
``interpreter``   starts a fresh interpreter
``settings``      what a program may choose: the executable, the modules to preload
``child``         the child's side: put a forked copy in order, run, and leave with an exit code
``arrival``       the child's side of a parcel
``surroundings``  in what surroundings a worker runs: environment, directory, CPUs, seed
``lifeline``      children die with their parent, in whatever way it ends
``slaying``       the end of a process and of all that descends from it, at once
``exits``         what is to run when a process ends, and in which order
``streams``       standard input, output and error around a fork
``stdlib``        keeps the standard library's own multiprocessing objects working in our children
``cpus``          how many CPUs this process may really use

Nothing in here knows the public ``Process`` class, pools or contexts: they stand above.
"""
