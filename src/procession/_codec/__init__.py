"""Objects ↔ bytes: what travels between a parent and its workers, and in which form.

``messages``      the kinds of records in a pool's rings
``buffers``       arguments and results, with what is large in them apart: the room's doors
``apart``         a pickle, and the large buffers beside it
``arrays``        our reducers, for what emits no buffers by itself
``repeats``       large arguments that are sent again and again
``items``         those of a chunk: together, or each by itself
``ties``          whether it can be told which, by what they have in common
``objects``       small ones: plain pickle first, by value where that fails
``sharing``       share(): buffers that are sent by reference from then on
``functions``     functions: sent once, then named by number
``captured``      what functions drag along, and whether it is a state of their own
``fingerprints``  whether two processes have the same code under one name
``given``         what does not travel: objects handed over to threads
``exceptions``    errors: as themselves with the remote traceback, else as a RemoteError
"""
