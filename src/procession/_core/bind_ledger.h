/* The ledger of a pool, as the core sees it. */
#ifndef PROCESSION_BIND_LEDGER_H
#define PROCESSION_BIND_LEDGER_H

#include "binding.h"

extern PyType_Spec ledger_spec;
extern PyTypeObject *ledger_type;

/* The dict of the entries without an answer, by number; borrowed. */
PyObject *ledger_open(PyObject *ledger);

/* A number that no entry had before. */
unsigned long long ledger_next_number(PyObject *ledger);

#endif
