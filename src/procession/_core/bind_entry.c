/* Entry: what stands in a pool's ledger, a task or a part of one: a base for classes. Its fields are
 * attributes; the core reads and writes several of them for each task, where they lie. A class that
 * has something else by such a name is asked for it by Python alone. */
#include "bind_entry.h"

#include <stddef.h>
#include <structmember.h>

struct entry {
    PyObject_HEAD
    PyObject *fields[ENTRY_FIELDS]; /* NULL: there is no such attribute yet */
};

PyTypeObject *entry_type;

#define FIELD(field, name)                                                                         \
    [field] = {name, T_OBJECT_EX, offsetof(struct entry, fields[field]), 0, NULL}

static PyMemberDef entry_members[] = {
    FIELD(ENTRY_ANSWER, "answer"),
    FIELD(ENTRY_ATTEND, "attend"),
    FIELD(ENTRY_BLOCK, "block"),
    FIELD(ENTRY_CALLBACK, "callback"),
    FIELD(ENTRY_DECODED, "_decoded"),
    FIELD(ENTRY_ERROR_CALLBACK, "error_callback"),
    FIELD(ENTRY_FUNCTION, "function"),
    FIELD(ENTRY_KIND, "kind"),
    FIELD(ENTRY_NUMBER, "number"),
    FIELD(ENTRY_OPTIONS, "options"),
    FIELD(ENTRY_OWNER, "_owner"),
    FIELD(ENTRY_PAYLOAD, "payload"),
    FIELD(ENTRY_POSITION, "position"),
    FIELD(ENTRY_SENT, "sent"),
    [ENTRY_FIELDS] = {NULL, 0, 0, 0, NULL},
};

static PyObject *name_of(enum entry_field field)
{
    static PyObject *names[ENTRY_FIELDS];
    if (!names[field])
        names[field] = PyUnicode_InternFromString(entry_members[field].name);
    return names[field];
}

/* Where the field lies; NULL: it is no Entry, but something with such an attribute. */
static PyObject **place(PyObject *entry, enum entry_field field)
{
    return PyObject_TypeCheck(entry, entry_type) ? &((struct entry *)entry)->fields[field] : NULL;
}

PyObject *entry_get(PyObject *entry, enum entry_field field)
{
    PyObject **at = place(entry, field);
    if (at && *at)
        return Py_NewRef(*at);
    PyObject *name = name_of(field);
    return name ? PyObject_GetAttr(entry, name) : NULL;
}

static void replace(PyObject **at, PyObject *value)
{
    PyObject *before = *at;
    *at = value;
    Py_XDECREF(before);
}

int entry_set(PyObject *entry, enum entry_field field, PyObject *value)
{
    if (!value)
        return -1;
    PyObject **at = place(entry, field);
    if (at) {
        replace(at, value);
        return 0;
    }
    PyObject *name = name_of(field);
    int failed = name ? PyObject_SetAttr(entry, name, value) : -1;
    Py_DECREF(value);
    return failed;
}

/* One that was not sent, and that nobody is to be told of. */
static struct entry *unsent(PyTypeObject *type)
{
    if (type == entry_type) { /* a long chain of such could not be taken apart */
        PyErr_SetString(PyExc_TypeError, "Entry is a base: make a class of it");
        return NULL;
    }
    struct entry *self = (struct entry *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    self->fields[ENTRY_ANSWER] = Py_NewRef(Py_None);
    self->fields[ENTRY_BLOCK] = Py_NewRef(Py_None);
    self->fields[ENTRY_CALLBACK] = Py_NewRef(Py_None);
    self->fields[ENTRY_DECODED] = Py_NewRef(Py_None);
    self->fields[ENTRY_ERROR_CALLBACK] = Py_NewRef(Py_None);
    self->fields[ENTRY_ATTEND] = Py_NewRef(Py_False);
    return self;
}

static PyObject *entry_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)args;
    (void)keywords;
    return (PyObject *)unsent(type);
}

static void tell(struct entry *self, PyObject *owner, PyObject *function, PyObject *options)
{
    replace(&self->fields[ENTRY_OWNER], Py_NewRef(owner));
    replace(&self->fields[ENTRY_FUNCTION], Py_NewRef(function));
    replace(&self->fields[ENTRY_OPTIONS], Py_NewRef(options));
}

PyObject *entry_make(PyTypeObject *kind, PyObject *owner, PyObject *function, PyObject *options)
{
    struct entry *self = unsent(kind);
    if (self)
        tell(self, owner, function, options);
    return (PyObject *)self;
}

static int entry_init(struct entry *self, PyObject *args, PyObject *keywords)
{
    if (PyTuple_Size(args) != 3 || (keywords && PyDict_Size(keywords) > 0)) {
        PyErr_SetString(PyExc_TypeError, "Entry(owner, function, options)");
        return -1;
    }
    tell(self, PyTuple_GetItem(args, 0), PyTuple_GetItem(args, 1), PyTuple_GetItem(args, 2));
    return 0;
}

static int entry_traverse(struct entry *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)self));
    for (int field = 0; field < ENTRY_FIELDS; field++)
        Py_VISIT(self->fields[field]);
    return 0;
}

static int entry_clear(struct entry *self)
{
    for (int field = 0; field < ENTRY_FIELDS; field++)
        Py_CLEAR(self->fields[field]);
    return 0;
}

static void entry_dealloc(struct entry *self)
{
    PyObject_GC_UnTrack(self);
    entry_clear(self);
    free_object((PyObject *)self);
}

static PyType_Slot entry_slots[] = {
    {Py_tp_new, entry_new},
    {Py_tp_init, entry_init},
    {Py_tp_members, entry_members},
    {Py_tp_traverse, entry_traverse},
    {Py_tp_clear, entry_clear},
    {Py_tp_dealloc, entry_dealloc},
    {Py_tp_doc, "Entry(owner, function, options): what stands in a pool's ledger."},
    {0, NULL},
};

PyType_Spec entry_spec = {
    .name = "procession._core.binding.Entry",
    .basicsize = sizeof(struct entry),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = entry_slots,
};
