/* Plain shared bytes: small ones in the object's body, larger ones in a block. All of them zero
 * at first, or a copy of what there was to be sent. */
#include "bind_memory.h"

#include <string.h>

#include "block.h"
#include "copy.h"
#include "platform.h"

#define ALIGNMENT 64u /* of each part of what Memory.holding() holds */

PyTypeObject *memory_type;
bool memory_froze;

static enum pcn_status get_room(struct pcn_arena *arena, struct handle *handle)
{
    struct pcn_object *object = pcn_object_at(arena, handle->name.object);
    struct memory *self = (struct memory *)handle;
    pcn_block_id block = self->given;
    object->size = handle->parameters[0];
    self->given = 0;
    if (object->size <= PCN_BODY && !block)
        return PCN_OK;
    enum pcn_status status = PCN_OK;
    if (!block) /* made anew in another arena; by one thread, so the others are kept out */
        status = pcn_block_allocate(arena, object->size, &block, true);
    if (status == PCN_OK) {
        object->block = block;
        pcn_block_give(arena, block, pcn_object_token(handle->name), handle->name.object);
    }
    return status;
}

static enum pcn_status set_memory_up(struct pcn_arena *arena, struct handle *handle)
{
    enum pcn_status status = get_room(arena, handle);
    if (status == PCN_OK)
        memset(pcn_memory_bytes(arena, handle->name.object), 0, handle->parameters[0]);
    return status;
}

static enum pcn_status set_copy_up(struct pcn_arena *arena, struct handle *handle)
{
    pcn_object_at(arena, handle->name.object)->purpose = PCN_MEMORY_SENT;
    return get_room(arena, handle);
}

static enum pcn_status set_received_up(struct pcn_arena *arena, struct handle *handle)
{
    pcn_object_at(arena, handle->name.object)->purpose = PCN_MEMORY_RECEIVED;
    return get_room(arena, handle);
}

/* What is on its way is no business of a child that is forked meanwhile, and it would never let go
 * of it. What somebody looks at he may look at in the child, too. */
static bool is_on_its_way(const struct handle *handle)
{
    const struct memory *self = (const struct memory *)handle;
    return self->is_mail && !self->is_seen;
}

static const struct handle_kind memory_kind = {
    .kind = PCN_MEMORY, .set_up = set_memory_up, .stays_behind = is_on_its_way};
static const struct handle_kind copy_kind = {
    .kind = PCN_MEMORY, .set_up = set_copy_up, .stays_behind = is_on_its_way};
static const struct handle_kind received_kind = {
    .kind = PCN_MEMORY, .set_up = set_received_up, .stays_behind = is_on_its_way};

/* A handle on a new object of so many bytes, around the block, if that is not 0. It becomes 0 once
 * the object has it. Returns NULL with an exception. */
static struct memory *make(PyTypeObject *type, pcn_block_id *block, uint64_t size,
                           const struct handle_kind *kind)
{
    struct memory *self = (struct memory *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    self->handle.parameters[0] = size;
    self->given = *block;
    bool made = handle_create(&self->handle, kind) == 0 &&
                (!*block || handle_arena(&self->handle)); /* a fork server's is bound at once */
    *block = self->given;
    if (made)
        self->handle.kind = &memory_kind; /* were it made anew, elsewhere, it would be empty */
    else
        Py_CLEAR(self);
    return self;
}

/* A block for so many bytes; none, if they fit a body. */
static int room_for(uint64_t size, enum pcn_use use, bool wait, pcn_block_id *block)
{
    struct pcn_arena *arena = family_arena();
    *block = 0;
    if (!arena)
        return -1;
    return size > PCN_BODY
               ? allocate_patiently(arena, use, size, wait ? UINT64_MAX : 0, block)
               : 0;
}

static void give_back(pcn_block_id block)
{
    if (block)
        pcn_block_free(&family, block, false, true);
}

static PyObject *memory_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)keywords;
    unsigned long long size = 0;
    pcn_block_id block = 0;
    if (!PyArg_ParseTuple(args, "|K", &size))
        return NULL;
    if (size == 0)
        return PyType_GenericAlloc(type, 0); /* it is to arrive */
    if (!family_stays_out() && room_for(size, PCN_FOR_RESULTS, true, &block) < 0)
        return NULL;
    struct memory *self = make(type, &block, size, &memory_kind);
    give_back(block);
    return (PyObject *)self;
}

PyObject *memory_around(pcn_block_id *block, uint64_t size)
{
    struct memory *self = make(memory_type, block, size, &received_kind);
    if (self)
        self->is_mail = true;
    return (PyObject *)self;
}

static void memory_dealloc(PyObject *self)
{
    handle_drop((struct handle *)self);
    free_object(self);
}

/* The arena that it has its bytes in; NULL with an exception. */
static struct pcn_arena *arena_of(struct handle *handle, PyObject *error)
{
    if (!handle->kind) {
        PyErr_SetString(error, "this memory has no bytes");
        return NULL;
    }
    /* What a fork server's child has from it stays where it is: pointers into it exist. */
    if (handle->bound != 0 && handle->arena != family_number()) {
        PyErr_SetString(error, "this memory belongs to another family of processes");
        return NULL;
    }
    return handle_arena(handle);
}

static int memory_buffer(PyObject *self, Py_buffer *view, int flags)
{
    struct handle *handle = (struct handle *)self;
    struct pcn_arena *arena = arena_of(handle, PyExc_BufferError);
    if (!arena)
        return -1;
    int failed = PyBuffer_FillInfo(view, self, pcn_memory_bytes(arena, handle->name.object),
                                   (Py_ssize_t)pcn_object_at(arena, handle->name.object)->size,
                                   pcn_memory_is_frozen(arena, handle->name.object), flags);
    if (!failed)
        ((struct memory *)self)->is_seen = true;
    return failed;
}

static PyObject *memory_arrive(PyObject *self, PyObject *tuple)
{
    struct handle *handle = (struct handle *)self;
    if (handle_arrive(handle, &memory_kind, tuple) < 0)
        return NULL;
    memory_froze = memory_froze || pcn_memory_is_frozen(&family, handle->name.object);
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
    PyThreadState *thread = parts->size > LONG_COPY ? PyEval_SaveThread() : NULL;
    uint64_t offset = 0;
    pcn_map_ahead(to, parts->size);
    for (Py_ssize_t i = 0; i < parts->count; i++) {
        const Py_buffer *view = &parts->views[i];
        offset = aligned(offset);
        pcn_copy(to + offset, view->buf, (uint64_t)view->len);
        offset += (uint64_t)view->len;
    }
    if (thread)
        PyEval_RestoreThread(thread);
}

static PyObject *memory_holding(PyObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "wait", "results", NULL};
    PyObject *sequence;
    int wait = 1, results = 0;
    struct parts parts;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|$pp", names, &sequence, &wait, &results) ||
        look_at(sequence, &parts) < 0)
        return NULL;
    struct memory *self = NULL;
    struct pcn_arena *arena = NULL;
    pcn_block_id block;
    enum pcn_use use = results ? PCN_FOR_RESULTS : PCN_FOR_ARGUMENTS;
    if (room_for(parts.size, use, wait, &block) == 0) {
        self = make((PyTypeObject *)type, &block, parts.size, &copy_kind);
        give_back(block);
        arena = self ? handle_arena(&self->handle) : NULL;
    }
    if (arena) {
        self->is_mail = true;
        copy(pcn_memory_bytes(arena, self->handle.name.object), &parts);
    } else {
        Py_CLEAR(self);
    }
    let_go(&parts);
    return (PyObject *)self;
}

uint8_t *memory_range(struct handle *handle, uint64_t offset, uint64_t length)
{
    const struct pcn_arena *arena = handle->kind ? arena_of(handle, PyExc_ValueError) : NULL;
    uint64_t size = arena ? pcn_object_at(arena, handle->name.object)->size : 0;
    if (!PyErr_Occurred() && (!arena || offset > size || length > size - offset))
        PyErr_SetString(PyExc_ValueError, "this memory has not so many bytes");
    return PyErr_Occurred() ? NULL : pcn_memory_bytes(arena, handle->name.object) + offset;
}

static PyObject *memory_read(PyObject *self, PyObject *args)
{
    unsigned long long offset;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "Kn", &offset, &length))
        return NULL;
    const uint8_t *from = memory_range((struct handle *)self, offset, (uint64_t)length);
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
    const uint8_t *from = memory_range((struct handle *)self, offset, (uint64_t)to.len);
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

static PyObject *memory_name(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return handle_name((struct handle *)self);
}

static PyObject *memory_freeze(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    struct handle *handle = (struct handle *)self;
    struct pcn_arena *arena = arena_of(handle, PyExc_ValueError);
    if (!arena)
        return NULL;
    pcn_memory_freeze(arena, handle->name.object);
    memory_froze = true;
    Py_RETURN_NONE;
}

static PyObject *memory_frozen(PyObject *self, void *unused)
{
    (void)unused;
    struct handle *handle = (struct handle *)self;
    const struct pcn_arena *arena = arena_of(handle, PyExc_ValueError);
    return arena ? PyBool_FromLong(pcn_memory_is_frozen(arena, handle->name.object)) : NULL;
}

static PyObject *memory_at(PyObject *type, PyObject *buffer)
{
    const struct pcn_arena *arena = family_arena_if_joined();
    struct pcn_name name;
    uint64_t offset;
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_ANY_CONTIGUOUS) < 0)
        return NULL;
    bool found =
        arena && pcn_memory_around(arena, view.buf, (uint64_t)view.len, &name, &offset);
    PyObject *memory = NULL;
    if (found) {
        uint64_t size = pcn_object_at(arena, name.object)->size;
        memory = handle_on(type, name, size);
    }
    PyBuffer_Release(&view);
    if (!found)
        Py_RETURN_NONE;
    return memory ? Py_BuildValue("NK", memory, (unsigned long long)offset) : NULL;
}

static PyObject *memory_size(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct handle *)self)->parameters[0]);
}

static PyGetSetDef memory_attributes[] = {
    {"size", memory_size, NULL, "In bytes.", NULL},
    {"frozen", memory_frozen, NULL, "Whether freeze() has been called, anywhere.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef memory_methods[] = {
    {"holding", (PyCFunction)(void (*)(void))memory_holding,
     METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "holding(parts, /, *, wait=True, results=False): memory with a copy of these buffers, each "
     "aligned to 64 bytes. Waits for room where the budget is used up, but not for ever; `results` "
     "may have all of it. Raises ArenaFull, MemoryError."},
    {"at", memory_at, METH_O | METH_CLASS,
     "at(buffer): the frozen memory in which this buffer lies, and how far behind its begin; None "
     "if it lies elsewhere."},
    {"freeze", memory_freeze, METH_NOARGS,
     "freeze(): nobody writes it any more. From now on its buffer is read-only, in every process; "
     "for who makes it, before others know of it."},
    {"private", memory_private, METH_VARARGS,
     "private(offset, length): a view of some of its bytes for this process alone: it may write "
     "there, and nobody else sees that. Raises MemoryError if it can not be mapped."},
    {"read", memory_read, METH_VARARGS, "read(offset, length): a copy of some of its bytes."},
    {"read_into", memory_read_into, METH_VARARGS,
     "read_into(offset, target): fill a buffer with a copy of its bytes."},
    {"family", memory_family, METH_NOARGS | METH_STATIC,
     "family(): the number of this process's family, which has one arena."},
    {"is_on_its_way", memory_is_on_its_way, METH_VARARGS | METH_STATIC,
     "is_on_its_way(object, serial, pin): whether what _travel() told so has not arrived yet."},
    {"_name", memory_name, METH_NOARGS,
     "What arrive() takes, good while somebody holds it; _travel() keeps it besides."},
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
    .basicsize = sizeof(struct memory),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = memory_slots,
};
