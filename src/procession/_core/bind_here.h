/* What a worker runs now, as the core sees it. */
#ifndef PROCESSION_BIND_HERE_H
#define PROCESSION_BIND_HERE_H

#include "binding.h"

struct here {
    PyObject_HEAD
    unsigned long long number;   /* the ledger's number of the task; 0: none */
    unsigned long long function; /* its function's */
};

extern PyType_Spec here_spec;
extern PyTypeObject *here_type;

#endif
