/* An exception that waits until what has begun is done, and may not be the only one by then. */
#ifndef PROCESSION_BIND_RAISED_H
#define PROCESSION_BIND_RAISED_H

#include "binding.h"

struct raised {
    PyObject *type, *value, *trace; /* all NULL: none */
};

/* Take what is raised now. The first is kept; but an interrupt, or another that is no Exception, is
 * not lost to an error, whichever came first. */
void keep_raised(struct raised *kept);

/* Raise what was kept, if anything was: -1, or 0. */
int raise_kept(struct raised *kept);

#endif
