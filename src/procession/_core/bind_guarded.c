/* Guarded: an object and its lock, and attributes that are read and written while the lock is
 * held. Knows our own locks, whose calls it spares; any other is asked by acquire() and release().
 */
#include "binding.h"

#include "bind_locks.h"

#include <stddef.h>
#include <stdlib.h>
#include <structmember.h>

struct guarded {
    PyObject_HEAD
    PyObject *object, *lock;
    PyObject *acquire, *release; /* the lock's own methods */
};

/* It may be set anew while it runs. */
static PyObject *call(PyObject *function)
{
    Py_INCREF(function);
    PyObject *returned = PyObject_CallNoArgs(function);
    Py_DECREF(function);
    return returned;
}

/* 1: taken, to be given back by give(); 0: this thread has it anyway; -1 with an exception. */
static int take(const struct guarded *self)
{
    if (!self->object || !self->lock || !self->acquire || !self->release) {
        PyErr_SetString(PyExc_AttributeError, "there is no lock: __init__() was not called");
        return -1;
    }
    if (mutex_is_reentered(self->lock))
        return 0;
    PyObject *taken = call(self->acquire);
    Py_XDECREF(taken);
    return taken ? 1 : -1;
}

/* Give it back. If that fails, the caller gets that exception, like from `finally`. */
static int give(const struct guarded *self)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *given = self->release ? call(self->release) : Py_NewRef(Py_None);
    if (given) {
        Py_DECREF(given);
        PyErr_Restore(type, value, traceback);
        return 0;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return -1;
}

typedef PyObject *read_function(PyObject *object, PyObject *key);

static PyObject *read_held(const struct guarded *self, PyObject *key, read_function *function)
{
    int taken = take(self);
    if (taken < 0)
        return NULL;
    PyObject *object = Py_NewRef(self->object);
    PyObject *found = function(object, key);
    Py_DECREF(object);
    if (taken && give(self) < 0)
        Py_CLEAR(found);
    return found;
}

static PyObject *read_attribute(PyObject *self, void *name)
{
    return read_held((struct guarded *)self, name, PyObject_GetAttr);
}

typedef int write_function(PyObject *object, PyObject *key, PyObject *value);

static int write_held(const struct guarded *self, PyObject *key, PyObject *value,
                      write_function *function)
{
    int taken = take(self);
    if (taken < 0)
        return -1;
    PyObject *object = Py_NewRef(self->object);
    int done = function(object, key, value);
    Py_DECREF(object);
    return taken && give(self) < 0 ? -1 : done;
}

static int write_attribute(PyObject *self, PyObject *value, void *name)
{
    if (!value) {
        PyErr_Format(PyExc_AttributeError, "can't delete attribute %R", (PyObject *)name);
        return -1;
    }
    return write_held((struct guarded *)self, name, value, PyObject_SetAttr);
}

static PyObject *get_item(PyObject *self, PyObject *key)
{
    return read_held((struct guarded *)self, key, PyObject_GetItem);
}

static PyObject *set_item(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "expected an index and a value");
        return NULL;
    }
    int done = write_held((struct guarded *)self, args[0], args[1], PyObject_SetItem);
    return done < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *get_object(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    PyObject *object = ((struct guarded *)self)->object;
    return Py_NewRef(object ? object : Py_None);
}

static PyObject *get_lock(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    PyObject *lock = ((struct guarded *)self)->lock;
    return Py_NewRef(lock ? lock : Py_None);
}

/* What it makes lives as long as the process does: once for each name. */
static PyObject *make_attribute(PyObject *type, PyObject *name)
{
    PyGetSetDef *attribute = calloc(1, sizeof *attribute);
    PyObject *kept = Py_NewRef(name);
    if (PyUnicode_CheckExact(kept))
        PyUnicode_InternInPlace(&kept); /* gives the reference back for that of an equal one */
    const char *text = PyUnicode_AsUTF8AndSize(kept, NULL);
    if (!attribute || !text) {
        free(attribute);
        Py_DECREF(kept);
        return text ? PyErr_NoMemory() : NULL;
    }
    attribute->name = text;
    attribute->get = read_attribute;
    attribute->set = write_attribute;
    attribute->closure = kept;
    return PyDescr_NewGetSet((PyTypeObject *)type, attribute);
}

static int guarded_init(PyObject *object, PyObject *args, PyObject *keywords)
{
    struct guarded *self = (struct guarded *)object;
    PyObject *guards, *lock;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "OO", &guards, &lock))
        return -1;
    PyObject *acquire = PyObject_GetAttrString(lock, "acquire");
    PyObject *release = acquire ? PyObject_GetAttrString(lock, "release") : NULL;
    if (!release) {
        Py_XDECREF(acquire);
        return -1;
    }
    PyObject *before[] = {self->object, self->lock, self->acquire, self->release};
    self->object = Py_NewRef(guards);
    self->lock = Py_NewRef(lock);
    self->acquire = acquire;
    self->release = release;
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        Py_XDECREF(before[i]);
    return 0;
}

static int guarded_traverse(PyObject *object, visitproc visit, void *arg)
{
    struct guarded *self = (struct guarded *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->object);
    Py_VISIT(self->lock);
    Py_VISIT(self->acquire);
    Py_VISIT(self->release);
    return 0;
}

static int guarded_clear(PyObject *object)
{
    struct guarded *self = (struct guarded *)object;
    Py_CLEAR(self->object);
    Py_CLEAR(self->lock);
    Py_CLEAR(self->acquire);
    Py_CLEAR(self->release);
    return 0;
}

static void guarded_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    guarded_clear(self);
    free_object(self);
}

static PyMemberDef guarded_members[] = {
    {"_obj", T_OBJECT_EX, offsetof(struct guarded, object), 0, "What is guarded."},
    {"_lock", T_OBJECT_EX, offsetof(struct guarded, lock), 0, "The lock."},
    {"acquire", T_OBJECT_EX, offsetof(struct guarded, acquire), 0, "The lock's own."},
    {"release", T_OBJECT_EX, offsetof(struct guarded, release), 0, "The lock's own."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef guarded_methods[] = {
    {"_attribute", make_attribute, METH_O | METH_CLASS,
     "_attribute(name): a property that is the object's attribute, under the lock."},
    {"_get_item", get_item, METH_O, "_get_item(key): the object's item, under the lock."},
    {"_set_item", FAST(set_item), METH_FASTCALL,
     "_set_item(key, value): change the object's item, under the lock."},
    {"get_obj", get_object, METH_NOARGS, "The ctypes object, to be used without the lock."},
    {"get_lock", get_lock, METH_NOARGS, "The lock."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot guarded_slots[] = {
    {Py_tp_init, guarded_init},
    {Py_tp_dealloc, guarded_dealloc},
    {Py_tp_traverse, guarded_traverse},
    {Py_tp_clear, guarded_clear},
    {Py_tp_members, guarded_members},
    {Py_tp_methods, guarded_methods},
    {Py_tp_doc, "Guarded(object, lock): what is to be used while the lock is held."},
    {0, NULL},
};

PyType_Spec guarded_spec = {
    .name = "procession._core.binding.Guarded",
    .basicsize = sizeof(struct guarded),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = guarded_slots,
};
