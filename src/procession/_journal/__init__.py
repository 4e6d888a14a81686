"""A durable record of finished items: after a crash of everything, the same call goes on.

::

    input ─▶ Sieve ── not recorded ──▶ RecordedJob (an imap call) ──▶ workers
               │                           │ outcomes, as they come
               │ recorded                  ▼
               │                        Recorder (thread): a transaction for all that has come
               ▼                           ▼
            aside ────────────────▶ who asks for the next result

``identity``    what a call and an item are known by
``file``        the journal: an SQLite database
``forms``       what is recorded of a value: its pickle, or its JSON text
``sieve``       the input, without the items that are recorded
``jobs``        a call over many items whose outcomes are recorded before they are delivered
``recorder``    the thread that does it
``calls``       how the doors open such a call, and what they give
"""
