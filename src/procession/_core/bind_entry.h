/* What stands in a pool's ledger, as the core sees it. */
#ifndef PROCESSION_BIND_ENTRY_H
#define PROCESSION_BIND_ENTRY_H

#include "binding.h"

/* Their names stand in bind_entry.c. */
enum entry_field {
    ENTRY_ANSWER,
    ENTRY_ATTEND,
    ENTRY_BLOCK,
    ENTRY_CALLBACK,
    ENTRY_DECODED,
    ENTRY_ERROR_CALLBACK,
    ENTRY_FUNCTION,
    ENTRY_KIND,
    ENTRY_NUMBER,
    ENTRY_OPTIONS,
    ENTRY_OWNER,
    ENTRY_PAYLOAD,
    ENTRY_POSITION,
    ENTRY_SENT,
    ENTRY_FIELDS,
};

extern PyType_Spec entry_spec;
extern PyTypeObject *entry_type;

/* A new kind(owner, function, options), a class of Entry's; NULL with an exception. */
PyObject *entry_make(PyTypeObject *kind, PyObject *owner, PyObject *function, PyObject *options);

/* Of an Entry, or of whatever has an attribute of that name. A new reference, or NULL with an
 * exception. */
PyObject *entry_get(PyObject *entry, enum entry_field field);

/* The same; takes the reference to the value, which may be NULL with an exception. */
int entry_set(PyObject *entry, enum entry_field field, PyObject *value);

#endif
