/* Ledger: the entries of a pool that have no answer yet, by number; a base for classes. */
#include "bind_ledger.h"

#include <stddef.h>
#include <structmember.h>

struct ledger {
    PyObject_HEAD
    PyObject *open;
    unsigned long long last;
};

PyTypeObject *ledger_type;

PyObject *ledger_open(PyObject *ledger)
{
    return ((struct ledger *)ledger)->open;
}

unsigned long long ledger_next_number(PyObject *ledger)
{
    return ++((struct ledger *)ledger)->last;
}

static PyObject *next_number(PyObject *self, PyObject *none)
{
    (void)none;
    return PyLong_FromUnsignedLongLong(ledger_next_number(self));
}

static PyObject *ledger_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)args;
    (void)keywords;
    struct ledger *self = (struct ledger *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    self->open = PyDict_New();
    if (!self->open) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

static int ledger_traverse(struct ledger *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->open);
    return 0;
}

/* The dict stays: who has the ledger may look into it. */
static int ledger_clear(struct ledger *self)
{
    if (self->open)
        PyDict_Clear(self->open);
    return 0;
}

static void ledger_dealloc(struct ledger *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->open);
    free_object((PyObject *)self);
}

static PyMemberDef ledger_members[] = {
    {"open", T_OBJECT_EX, offsetof(struct ledger, open), READONLY,
     "the entries, by number: the core enters what it sends, and takes out what is answered"},
    {"last", T_ULONGLONG, offsetof(struct ledger, last), READONLY,
     "the highest number given so far; 0: none was"},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef ledger_methods[] = {
    {"next_number", next_number, METH_NOARGS,
     "next_number(): a number for a new entry. They begin at 1, and none is given twice."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot ledger_slots[] = {
    {Py_tp_new, ledger_new},
    {Py_tp_members, ledger_members},
    {Py_tp_methods, ledger_methods},
    {Py_tp_traverse, ledger_traverse},
    {Py_tp_clear, ledger_clear},
    {Py_tp_dealloc, ledger_dealloc},
    {Py_tp_doc, "Ledger(): the entries of a pool that have no answer yet, by number."},
    {0, NULL},
};

PyType_Spec ledger_spec = {
    .name = "procession._core.binding.Ledger",
    .basicsize = sizeof(struct ledger),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = ledger_slots,
};
