/* Objects as a queue's items, and back. The plainest ones have forms of their own; pickles are
 * made by pickle itself where nothing can be registered for what is in them, and for all else by
 * what _pickle_with() was given, which may let buffers go apart. */
#include "bind_queue.h"

#include <string.h>

#include "bind_memory.h"

enum form { PICKLE, INTEGER, FLOAT, BYTES, TEXT, NONE, TRUE, FALSE, APART };

#define PROTOCOL 5
#define DEPTH 4   /* containers within containers that are looked into */
#define BREADTH 64 /* and how much of them */
#define SHORT_TEXT 4096

/* Process-wide, as what they name is. Set at the first use, with the GIL held. */
static PyObject *plain_dumps, *other_dumps, *loads, *loads_apart, *pins_made, *withdraw_pins, *protocol;

static PyObject *attribute_of(const char *module, const char *name)
{
    PyObject *from = PyImport_ImportModule(module);
    PyObject *found = from ? PyObject_GetAttrString(from, name) : NULL;
    Py_XDECREF(from);
    return found;
}

static bool find(const char *module, const char *name, PyObject **found)
{
    if (!*found)
        *found = attribute_of(module, name);
    return *found != NULL;
}

static int have_picklers(void)
{
    if (protocol)
        return 0;
    if (find("pickle", "dumps", &plain_dumps) && find("pickle", "loads", &loads) &&
        find("procession._core.binding", "pins_made", &pins_made) &&
        find("procession._core.binding", "withdraw_pins", &withdraw_pins))
        protocol = PyLong_FromLong(PROTOCOL);
    return protocol ? 0 : -1;
}

void raise_of_queue(const char *name)
{
    bool ours = strcmp(name, "ShutDown") == 0; /* the queue module has it since Python 3.13 */
    PyObject *kind = attribute_of(ours ? "procession.errors.sync" : "queue", name);
    if (kind)
        PyErr_SetNone(kind);
    Py_XDECREF(kind);
}

static bool is_plain(PyObject *object, int depth, int *left);

static bool are_plain(PyObject *object, Py_ssize_t size,
                      PyObject *(*at)(PyObject *, Py_ssize_t), int depth, int *left)
{
    for (Py_ssize_t i = 0; i < size; i++) {
        if (!is_plain(at(object, i), depth - 1, left))
            return false;
    }
    return true;
}

/* Nothing but types that nobody can have registered another way of pickling for? */
static bool is_plain(PyObject *object, int depth, int *left)
{
    PyTypeObject *type = Py_TYPE(object);
    if (object == Py_None || type == &PyLong_Type || type == &PyUnicode_Type ||
        type == &PyFloat_Type || type == &PyBytes_Type || type == &PyBool_Type)
        return --*left >= 0;
    if (depth == 0)
        return false;
    if (type == &PyTuple_Type)
        return PyTuple_Size(object) <= *left &&
               are_plain(object, PyTuple_Size(object), PyTuple_GetItem, depth, left);
    if (type == &PyList_Type)
        return PyList_Size(object) <= *left &&
               are_plain(object, PyList_Size(object), PyList_GetItem, depth, left);
    if (type != &PyDict_Type)
        return false;
    Py_ssize_t position = 0;
    PyObject *key, *value;
    while (PyDict_Next(object, &position, &key, &value)) {
        if (!is_plain(key, depth - 1, left) || !is_plain(value, depth - 1, left))
            return false;
    }
    return true;
}

void packed_release(struct packed *packed)
{
    if (packed->view.obj)
        PyBuffer_Release(&packed->view);
    if (packed->apart) {
        apart_release(packed->apart);
        PyMem_Free(packed->apart);
        packed->apart = NULL;
    }
    Py_CLEAR(packed->keeper);
    Py_CLEAR(packed->pins);
}

void packed_withdraw(struct packed *packed)
{
    if (!packed->pins)
        return;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    Py_XDECREF(PyObject_CallFunctionObjArgs(withdraw_pins, packed->pins, NULL));
    PyErr_Clear();
    PyErr_Restore(type, value, trace);
}

void packed_entrust(const struct packed *packed, struct handle *queue)
{
    if (packed->pins)
        entrust_pins_since(queue, PyLong_AsUnsignedLongLong(packed->pins));
}

void packed_sent(const struct packed *packed)
{
    if (packed->pins)
        forget_pins_since(PyLong_AsUnsignedLongLong(packed->pins));
}

PyObject *queue_pickle_with(PyObject *ignored, PyObject *dumps)
{
    (void)ignored;
    PyObject *before = other_dumps;
    other_dumps = Py_NewRef(dumps);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

PyObject *queue_unpickle_apart_with(PyObject *ignored, PyObject *function)
{
    (void)ignored;
    PyObject *before = loads_apart;
    loads_apart = Py_NewRef(function);
    Py_XDECREF(before);
    Py_RETURN_NONE;
}

bool packed_needs_block(const struct packed *packed)
{
    return packed->item.length > PCN_QUEUE_INLINE || packed->apart;
}

void packed_write(struct pcn_arena *arena, const struct packed *packed, pcn_block_id block)
{
    const struct pcn_item *item = &packed->item;
    if (packed->apart) {
        apart_write(arena, packed->apart, block);
        return;
    }
    uint8_t *to = pcn_block_bytes(arena, block);
    if (item->length < LONG_COPY) {
        memcpy(to, item->bytes, item->length);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    memcpy(to, item->bytes, item->length);
    Py_END_ALLOW_THREADS
}

static PyObject *pickle(PyObject *object, struct packed *packed)
{
    int left = BREADTH;
    if (have_picklers() < 0)
        return NULL;
    if (!other_dumps || is_plain(object, DEPTH, &left))
        return PyObject_CallFunctionObjArgs(plain_dumps, object, protocol, NULL);
    packed->pins = PyObject_CallFunctionObjArgs(pins_made, NULL);
    if (!packed->pins)
        return NULL;
    PyObject *args = PyTuple_Pack(1, object);
    PyObject *pickled = args ? unsent_call(other_dumps, args) : NULL;
    Py_XDECREF(args);
    if (!pickled)
        packed_withdraw(packed);
    return pickled;
}

/* What was pickled is (body, parts). */
static int pack_apart(PyObject *pair, struct packed *packed)
{
    struct apart *apart = PyMem_Malloc(sizeof *apart);
    if (!apart)
        PyErr_NoMemory();
    if (!apart || apart_hold_pair(apart, pair) < 0) {
        PyMem_Free(apart);
        packed_withdraw(packed);
        packed_release(packed);
        return -1;
    }
    packed->apart = apart;
    packed->item.kind = APART;
    packed->item.length = apart->size;
    return 0;
}

static int pack_pickled(PyObject *object, struct packed *packed)
{
    PyObject *pickled = pickle(object, packed);
    if (!pickled) {
        packed_release(packed);
        return -1;
    }
    packed->item.kind = PICKLE;
    packed->keeper = pickled;
    if (PyTuple_Check(pickled))
        return pack_apart(pickled, packed);
    if (PyBytes_Check(pickled)) {
        packed->item.bytes = PyBytes_AsString(pickled);
        packed->item.length = (uint64_t)PyBytes_Size(pickled);
        return 0;
    }
    if (PyObject_GetBuffer(pickled, &packed->view, PyBUF_SIMPLE) < 0) {
        packed_withdraw(packed);
        packed_release(packed);
        return -1;
    }
    packed->item.bytes = packed->view.buf;
    packed->item.length = (uint64_t)packed->view.len;
    return 0;
}

static void set_word(struct packed *packed, enum form form, const void *word, uint64_t length)
{
    memcpy(&packed->word, word, length);
    packed->item.kind = form;
    packed->item.bytes = &packed->word;
    packed->item.length = length;
}

static int pack_text(PyObject *text, struct packed *packed)
{
    Py_ssize_t length = 0;
    const char *bytes;
    /* A short one keeps what was made of it, for the next time. */
    packed->keeper = PyUnicode_GetLength(text) > SHORT_TEXT ? PyUnicode_AsUTF8String(text)
                                                            : Py_NewRef(text);
    if (packed->keeper && packed->keeper != text) {
        bytes = PyBytes_AsString(packed->keeper);
        length = PyBytes_Size(packed->keeper);
    } else {
        bytes = packed->keeper ? PyUnicode_AsUTF8AndSize(text, &length) : NULL;
    }
    if (!bytes) { /* halves of surrogates */
        PyErr_Clear();
        Py_CLEAR(packed->keeper);
        return pack_pickled(text, packed);
    }
    packed->item.kind = TEXT;
    packed->item.bytes = bytes;
    packed->item.length = (uint64_t)length;
    return 0;
}

int pack_object(PyObject *object, struct packed *packed)
{
    memset(packed, 0, sizeof *packed);
    PyTypeObject *type = Py_TYPE(object);
    if (type == &PyLong_Type) {
        int too_large;
        long long number = PyLong_AsLongLongAndOverflow(object, &too_large);
        if (too_large)
            return pack_pickled(object, packed);
        set_word(packed, INTEGER, &number, sizeof number);
    } else if (type == &PyFloat_Type) {
        double number = PyFloat_AsDouble(object);
        set_word(packed, FLOAT, &number, sizeof number);
    } else if (type == &PyBytes_Type) {
        packed->item.kind = BYTES;
        packed->item.bytes = PyBytes_AsString(object);
        packed->item.length = (uint64_t)PyBytes_Size(object);
        packed->keeper = Py_NewRef(object);
    } else if (type == &PyUnicode_Type) {
        return pack_text(object, packed);
    } else if (object == Py_None) {
        packed->item.kind = NONE;
    } else if (object == Py_True || object == Py_False) {
        packed->item.kind = object == Py_True ? TRUE : FALSE;
    } else {
        return pack_pickled(object, packed);
    }
    return 0;
}

static PyObject *unpickle(const struct pcn_item *item)
{
    if (have_picklers() < 0)
        return NULL;
    Py_ssize_t length = (Py_ssize_t)item->length;
    PyObject *pickled;
    if (item->block) /* too large to be copied for nothing */
        pickled = PyMemoryView_FromMemory((char *)(uintptr_t)item->bytes, length, PyBUF_READ);
    else
        pickled = PyBytes_FromStringAndSize(item->bytes, length);
    PyObject *object = pickled ? PyObject_CallFunctionObjArgs(loads, pickled, NULL) : NULL;
    Py_XDECREF(pickled);
    return object;
}

static PyObject *copy_bytes(const struct pcn_item *item)
{
    if (item->length < LONG_COPY)
        return PyBytes_FromStringAndSize(item->bytes, (Py_ssize_t)item->length);
    PyObject *object = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)item->length);
    char *to = object ? PyBytes_AsString(object) : NULL;
    if (!to)
        return object;
    Py_BEGIN_ALLOW_THREADS
    memcpy(to, item->bytes, item->length);
    Py_END_ALLOW_THREADS
    return object;
}

static PyObject *unpack_plain(const struct pcn_item *item)
{
    long long integer;
    double number;
    switch ((enum form)item->kind) {
    case PICKLE:
        return unpickle(item);
    case INTEGER:
        memcpy(&integer, item->bytes, sizeof integer);
        return PyLong_FromLongLong(integer);
    case FLOAT:
        memcpy(&number, item->bytes, sizeof number);
        return PyFloat_FromDouble(number);
    case BYTES:
        return copy_bytes(item);
    case TEXT:
        return PyUnicode_DecodeUTF8(item->bytes, (Py_ssize_t)item->length, NULL);
    case TRUE:
        Py_RETURN_TRUE;
    case FALSE:
        Py_RETURN_FALSE;
    case NONE:
        Py_RETURN_NONE;
    case APART:
        break;
    }
    PyErr_Format(PyExc_SystemError, "procession core: an item of unknown form %u", item->kind);
    return NULL;
}

/* Its block is Memory from here on, or free. */
static PyObject *unpack_apart(struct pcn_arena *arena, struct pcn_item *item)
{
    PyObject *payload = apart_arrived(arena, &item->block, item->length);
    if (payload && item->block) {
        char *to = PyByteArray_AsString(payload);
        Py_BEGIN_ALLOW_THREADS
        memcpy(to, item->bytes, item->length);
        Py_END_ALLOW_THREADS
    }
    if (item->block)
        free_block(arena, item->block);
    PyObject *object =
        payload ? PyObject_CallFunctionObjArgs(loads_apart, payload, NULL) : NULL;
    Py_XDECREF(payload);
    return object;
}

PyObject *unpack_item(struct pcn_arena *arena, struct pcn_item *item)
{
    if (item->kind == APART && loads_apart)
        return unpack_apart(arena, item);
    const pcn_token me = arena->me;
    PyObject *object = unpack_plain(item);
    if (item->block && arena->me == me) /* else this is a child that was forked in there */
        free_block(arena, item->block);
    return object;
}
