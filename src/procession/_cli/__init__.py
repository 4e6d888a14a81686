"""The command line: ``procession run``, ``map``, ``compare`` and more, and what they need.

=================  =======================================================================
``main``           the arguments, and what they ask for
``run``            runs a script, a module or a text as ``__main__``, as the interpreter would
``standin``        the import hook: our package wherever a program says ``multiprocessing``
``ours``           what procession has
``executors``      our executor where a program says ``ProcessPoolExecutor``
``original``       the standard library's multiprocessing, kept under ``procession._stdlib``
``agree``          makes that one and ours agree: on processes, start methods, what ends when
``explain``        keeps account of what a program used, and whose it was
``map``            runs a function over many inputs
``map_functions``  finds it, so that workers find it by the same name
``map_inputs``     where the items come from
``map_outputs``    where their results go
``map_signals``    what ends it in order
``locks``          looks at the locks of a running program
``holdings``       what that prints
``memory``         looks at the shared memory of running programs
``compare``        measures serial, threads and processes
=================  =======================================================================

The way of a name that the program asks for::

    multiprocessing.NAME ──▶ in ours (``__all__``)? ── yes ─▶ procession.NAME
                                     │ no
                                     ▼
                             procession._stdlib.NAME

Who sees which package: the program, the libraries it uses, and the standard library's modules in
general see ours. ``concurrent.futures.process`` and the standard library's multiprocessing itself
are built on the latter's private parts, so they keep to that; only the executor is taken out of
the former, and ours is found there.
"""
