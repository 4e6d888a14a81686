/* Here: which task this process runs now; a base for a class. */
#include "bind_here.h"

#include <stddef.h>
#include <structmember.h>

PyTypeObject *here_type;

static PyMemberDef here_members[] = {
    {"number", T_ULONGLONG, offsetof(struct here, number), 0,
     "the ledger's number of the task that runs; 0 if none does"},
    {"function", T_ULONGLONG, offsetof(struct here, function), 0,
     "the number of its function; 0 for one that travelled with its call"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot here_slots[] = {
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, free_object},
    {Py_tp_members, here_members},
    {Py_tp_doc, "Here(): which task this process runs."},
    {0, NULL},
};

PyType_Spec here_spec = {
    .name = "procession._core.binding.Here",
    .basicsize = sizeof(struct here),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = here_slots,
};
