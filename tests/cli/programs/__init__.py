"""Programs that know nothing of procession, for `procession run`."""
