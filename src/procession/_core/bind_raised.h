/* Exceptions that are taken to be told elsewhere, or that wait until what has begun is done. */
#ifndef PROCESSION_BIND_RAISED_H
#define PROCESSION_BIND_RAISED_H

#include "binding.h"

struct raised {
    PyObject *type, *value, *trace; /* all NULL: none */
};

/* The exception that is raised now, with its traceback; a new reference. */
PyObject *take_exception(void);

/* Take what is raised now. The first is kept; but an interrupt, or another that is no Exception, is
 * not lost to an error, whichever came first. */
void keep_raised(struct raised *kept);

/* Raise what was kept, if anything was: -1, or 0. */
int raise_kept(struct raised *kept);

#endif
