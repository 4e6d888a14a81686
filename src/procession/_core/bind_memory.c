/* Plain shared bytes: small ones in the object's body, larger ones in a block. All of them zero
 * at first, or a copy of what there was to be sent. */
#include "bind_object.h"

#include <string.h>

#include "block.h"

#define ALIGNMENT 64u /* of each part of what Memory.holding() holds */

static enum pcn_status get_room(struct pcn_arena *arena, struct handle *handle)
{
    struct pcn_object *object = pcn_object_at(arena, handle->name.object);
    uint64_t size = handle->parameters[0];
    object->size = size;
    if (size <= PCN_BODY)
        return PCN_OK;
    pcn_block_id block;
    enum pcn_status status;
    Py_BEGIN_ALLOW_THREADS /* new pages take the system a while */
    status = pcn_block_allocate(arena, size, &block, true);
    Py_END_ALLOW_THREADS
    if (status == PCN_OK) {
        object->block = block;
        pcn_block_give(arena, block, pcn_object_token(handle->name));
    }
    return status;
}

static void *bytes_of(const struct pcn_arena *arena, const struct handle *handle)
{
    const struct pcn_object *object = pcn_object_at(arena, handle->name.object);
    return object->block ? (void *)pcn_block_bytes(arena, object->block)
                         : handle_body(arena, handle);
}

static enum pcn_status set_memory_up(struct pcn_arena *arena, struct handle *handle)
{
    enum pcn_status status = get_room(arena, handle);
    if (status == PCN_OK)
        memset(bytes_of(arena, handle), 0, handle->parameters[0]);
    return status;
}

static const struct handle_kind memory_kind = {.kind = PCN_MEMORY, .set_up = set_memory_up};
static const struct handle_kind unset_memory_kind = {.kind = PCN_MEMORY, .set_up = get_room};

static PyObject *memory_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    unsigned long long size = 0;
    if (!PyArg_ParseTuple(args, "|K", &size))
        return NULL;
    struct handle *self = (struct handle *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    self->parameters[0] = size;
    if (size != 0 && handle_create(self, &memory_kind) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void memory_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    handle_drop((struct handle *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static int memory_buffer(PyObject *self, Py_buffer *view, int flags)
{
    struct handle *handle = (struct handle *)self;
    struct pcn_arena *arena;
    if (!handle->kind) {
        PyErr_SetString(PyExc_BufferError, "this memory has no bytes");
        return -1;
    }
    /* What a fork server's child has from it stays where it is: pointers into it exist. */
    if (handle->bound != 0 && handle->arena != family_number())
        arena = NULL;
    else if (!(arena = handle_arena(handle)))
        return -1;
    if (!arena) {
        PyErr_SetString(PyExc_BufferError, "this memory belongs to another family of processes");
        return -1;
    }
    const struct pcn_object *object = pcn_object_at(arena, handle->name.object);
    return PyBuffer_FillInfo(view, self, bytes_of(arena, handle), (Py_ssize_t)object->size, 0,
                             flags);
}

static PyObject *memory_arrive(PyObject *self, PyObject *tuple)
{
    if (handle_arrive((struct handle *)self, &memory_kind, tuple) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* What holding() was given, while it is copied. */
struct parts {
    Py_buffer *views;
    Py_ssize_t count;
    uint64_t size; /* of all, with what lies between them */
};

static uint64_t aligned(uint64_t offset)
{
    return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void let_go(struct parts *parts)
{
    while (parts->count > 0)
        PyBuffer_Release(&parts->views[--parts->count]);
    PyMem_Free(parts->views);
}

static int look_at(PyObject *sequence, struct parts *parts)
{
    Py_ssize_t count = PySequence_Size(sequence);
    if (count < 0)
        return -1;
    *parts = (struct parts){.views = PyMem_Calloc((size_t)count + 1, sizeof *parts->views)};
    if (!parts->views) {
        PyErr_NoMemory();
        return -1;
    }
    while (parts->count < count) {
        Py_buffer *view = &parts->views[parts->count];
        PyObject *part = PySequence_GetItem(sequence, parts->count);
        int got = part ? PyObject_GetBuffer(part, view, PyBUF_SIMPLE) : -1;
        Py_XDECREF(part);
        if (got < 0) {
            let_go(parts);
            return -1;
        }
        parts->size = aligned(parts->size) + (uint64_t)view->len;
        parts->count++;
    }
    return 0;
}

static void copy(uint8_t *to, const struct parts *parts)
{
    uint64_t offset = 0;
    for (Py_ssize_t i = 0; i < parts->count; i++) {
        const Py_buffer *view = &parts->views[i];
        offset = aligned(offset);
        if (view->len > 0)
            memcpy(to + offset, view->buf, (size_t)view->len);
        offset += (uint64_t)view->len;
    }
}

static PyObject *memory_holding(PyObject *type, PyObject *sequence)
{
    struct parts parts;
    if (look_at(sequence, &parts) < 0)
        return NULL;
    struct handle *self = (struct handle *)PyType_GenericAlloc((PyTypeObject *)type, 0);
    struct pcn_arena *arena = NULL;
    if (self) {
        self->parameters[0] = parts.size;
        if (handle_create(self, &unset_memory_kind) == 0)
            arena = handle_arena(self);
        self->kind = &memory_kind; /* were it made anew, elsewhere, it would be empty */
    }
    if (arena) {
        uint8_t *to = bytes_of(arena, self);
        Py_BEGIN_ALLOW_THREADS
        copy(to, &parts);
        Py_END_ALLOW_THREADS
    } else {
        Py_CLEAR(self);
    }
    let_go(&parts);
    return (PyObject *)self;
}

/* The bytes of it, unless they reach beyond its end: then NULL with an exception. */
static const uint8_t *range_of(struct handle *handle, uint64_t offset, uint64_t length)
{
    const struct pcn_arena *arena = handle->kind ? handle_arena(handle) : NULL;
    uint64_t size = arena ? pcn_object_at(arena, handle->name.object)->size : 0;
    if (!PyErr_Occurred() && (offset > size || length > size - offset))
        PyErr_SetString(PyExc_ValueError, "this memory has not so many bytes");
    return PyErr_Occurred() ? NULL : (const uint8_t *)bytes_of(arena, handle) + offset;
}

static PyObject *memory_read(PyObject *self, PyObject *args)
{
    unsigned long long offset;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "Kn", &offset, &length))
        return NULL;
    const uint8_t *from = range_of((struct handle *)self, offset, (uint64_t)length);
    PyObject *bytes = from ? PyBytes_FromStringAndSize(NULL, length) : NULL;
    if (bytes) {
        char *to = PyBytes_AsString(bytes);
        Py_BEGIN_ALLOW_THREADS
        memcpy(to, from, (size_t)length);
        Py_END_ALLOW_THREADS
    }
    return bytes;
}

static PyObject *memory_read_into(PyObject *self, PyObject *args)
{
    unsigned long long offset;
    Py_buffer to;
    if (!PyArg_ParseTuple(args, "Kw*", &offset, &to))
        return NULL;
    const uint8_t *from = range_of((struct handle *)self, offset, (uint64_t)to.len);
    if (from) {
        Py_BEGIN_ALLOW_THREADS
        memcpy(to.buf, from, (size_t)to.len);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&to);
    return from ? Py_NewRef(Py_None) : NULL;
}

static PyObject *memory_family(PyObject *ignored, PyObject *nothing)
{
    (void)ignored;
    (void)nothing;
    return family_arena() ? PyLong_FromUnsignedLongLong(family_number()) : NULL;
}

static PyObject *memory_is_on_its_way(PyObject *ignored, PyObject *args)
{
    (void)ignored;
    unsigned object, pin;
    unsigned long long serial;
    if (!PyArg_ParseTuple(args, "IKI", &object, &serial, &pin))
        return NULL;
    const struct pcn_arena *arena = family_arena_if_joined();
    if (!arena || pin >= pcn_load_relaxed32(&pcn_head(arena)->holds_high))
        Py_RETURN_FALSE;
    const struct pcn_hold *hold = pcn_hold_at(arena, pin);
    return PyBool_FromLong(pcn_load_relaxed64(&hold->owner) != 0 &&
                           pcn_load_relaxed32(&hold->kind) == PCN_PIN &&
                           pcn_load_relaxed32(&hold->object) == object &&
                           pcn_load_relaxed64(&hold->serial) == serial);
}

static PyObject *memory_size(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct handle *)self)->parameters[0]);
}

static PyGetSetDef memory_attributes[] = {
    {"size", memory_size, NULL, "In bytes.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef memory_methods[] = {
    {"holding", memory_holding, METH_O | METH_CLASS,
     "holding(parts): memory with a copy of these buffers, each aligned to 64 bytes."},
    {"read", memory_read, METH_VARARGS, "read(offset, length): a copy of some of its bytes."},
    {"read_into", memory_read_into, METH_VARARGS,
     "read_into(offset, target): fill a buffer with a copy of its bytes."},
    {"family", memory_family, METH_NOARGS | METH_STATIC,
     "family(): the number of this process's family, which has one arena."},
    {"is_on_its_way", memory_is_on_its_way, METH_VARARGS | METH_STATIC,
     "is_on_its_way(object, serial, pin): whether what _travel() told so has not arrived yet."},
    {"_travel", handle_travel_method, METH_NOARGS, "What is pickled of it, for arrive()."},
    {"__reduce__", handle_reduce_method, METH_NOARGS, "For pickle: a handle on the same bytes."},
    {"_entrust", handle_entrust_method, METH_O,
     "_entrust(since): what this thread has pickled since pins_made() said so ends with this."},
    {"_arrive", memory_arrive, METH_O, "Become a handle on what travelled."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot memory_slots[] = {
    {Py_tp_new, memory_new},
    {Py_tp_dealloc, memory_dealloc},
    {Py_tp_methods, memory_methods},
    {Py_tp_getset, memory_attributes},
    {Py_bf_getbuffer, memory_buffer},
    {Py_tp_doc, "Memory(size): zeroed bytes in the arena, shared by all handles on them."},
    {0, NULL},
};

PyType_Spec memory_spec = {
    .name = "procession._core.binding.Memory",
    .basicsize = sizeof(struct handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = memory_slots,
};
