/* Pickling on the hot path: plain pickle, which gives up where something is to travel apart. */
#include "bind_memory.h"

#include <string.h>

#include "bind_plain.h"

#define DEEP 3  /* so many levels of containers are looked into beforehand */
#define WIDE 8  /* so many things of a tuple or dict */
#define AMONG 4 /* and of a list: they are alike, as a rule */
#define MOST 32 /* and so many in all, numbers not counted */

/* ---- What travels apart ---- */

/* A dict, or NULL. Its keys are types whose instances may be large; its values tell how large one
 * is when they are called, or are None: then its `nbytes` does. */
static PyObject *heavy;

/* Who does not know has no weight. Not so an interrupt: that stays, and ends the pickling. */
static void clear_error(void)
{
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception))
        PyErr_Clear();
}

static bool has_many_bytes(PyObject *value, PyObject *measure)
{
    static PyObject *nbytes;
    if (!nbytes)
        nbytes = PyUnicode_InternFromString("nbytes");
    PyObject *number = NULL;
    if (measure != Py_None)
        number = PyObject_CallFunctionObjArgs(measure, value, NULL);
    else if (nbytes)
        number = PyObject_GetAttr(value, nbytes);
    Py_ssize_t size = number ? PyNumber_AsSsize_t(number, NULL) : -1;
    Py_XDECREF(number);
    if (size == -1)
        clear_error();
    return size >= (Py_ssize_t)LEAST_APART;
}

/* What a look at a value tells. LIGHT: all of it was seen, and nothing emits buffers. */
enum weight { LIGHT, UNKNOWN, LARGE };

static enum weight weigh(PyObject *value, int deep, int *left);

static bool is_number(PyObject *value)
{
    PyTypeObject *type = Py_TYPE(value);
    return type == &PyLong_Type || type == &PyFloat_Type || type == &PyBool_Type ||
           value == Py_None;
}

static enum weight weigh_items(PyObject *value, bool is_tuple, int deep, int *left)
{
    PyObject *(*get)(PyObject *, Py_ssize_t) = is_tuple ? PyTuple_GetItem : PyList_GetItem;
    Py_ssize_t count = is_tuple ? PyTuple_Size(value) : PyList_Size(value);
    Py_ssize_t most = is_tuple ? WIDE : AMONG;
    enum weight all = count > most ? UNKNOWN : LIGHT;
    for (Py_ssize_t i = 0; i < count && i < most; i++) {
        PyObject *item = get(value, i);
        if (!item) { /* what was called has made the list shorter */
            clear_error();
            return UNKNOWN;
        }
        if (is_number(item))
            continue;
        Py_INCREF(item); /* what is called may take it out of here */
        enum weight its = weigh(item, deep, left);
        Py_DECREF(item);
        if (its > all)
            all = its;
        if (all == LARGE || PyErr_Occurred())
            break;
    }
    return all;
}

static enum weight weigh_values(PyObject *dict, int deep, int *left)
{
    enum weight all = LIGHT;
    Py_ssize_t position = 0;
    PyObject *key, *value;
    for (int i = 0; all != LARGE && !PyErr_Occurred() && PyDict_Next(dict, &position, &key, &value); i++) {
        bool is_text = Py_TYPE(key) == &PyUnicode_Type;
        Py_INCREF(value); /* what is called may take it out of here, and its key */
        enum weight its = i < WIDE ? weigh(value, deep, left) : UNKNOWN;
        Py_DECREF(value);
        if (its > all)
            all = its;
        if (i == WIDE || !is_text)
            return all > UNKNOWN ? all : UNKNOWN;
    }
    return all;
}

static enum weight weigh_bytes(Py_ssize_t size)
{
    return size >= (Py_ssize_t)LEAST_APART ? LARGE : LIGHT;
}

/* A look at what is easily seen. What it misses is found while it is pickled, or behind that. The
 * caller has a reference to the value. */
static enum weight weigh(PyObject *value, int deep, int *left)
{
    PyTypeObject *type = Py_TYPE(value);
    if (is_number(value))
        return LIGHT;
    if (--*left < 0)
        return UNKNOWN;
    if (type == &PyUnicode_Type)
        return weigh_bytes(PyUnicode_GetLength(value));
    if (type == &PyTuple_Type || type == &PyList_Type)
        return deep > 0 ? weigh_items(value, type == &PyTuple_Type, deep - 1, left) : UNKNOWN;
    if (type == &PyDict_Type)
        return deep > 0 ? weigh_values(value, deep - 1, left) : UNKNOWN;
    if (type == &PyBytes_Type)
        return weigh_bytes(PyBytes_Size(value));
    if (type == &PyByteArray_Type)
        return weigh_bytes(PyByteArray_Size(value));
    if (!heavy)
        return UNKNOWN;
    PyObject *types = Py_NewRef(heavy); /* what is called may change it, or use another one */
    PyObject *measure = PyDict_GetItemWithError(types, (PyObject *)type);
    bool is_heavy = false;
    if (measure) {
        Py_INCREF(measure);
        is_heavy = has_many_bytes(value, measure);
        Py_DECREF(measure);
    } else {
        clear_error(); /* a type with an odd hash */
    }
    Py_DECREF(types);
    return is_heavy ? LARGE : UNKNOWN;
}

static PyObject *heavy_types(PyObject *module, PyObject *types)
{
    (void)module;
    if (!PyDict_Check(types)) {
        PyErr_SetString(PyExc_TypeError, "heavy types are the keys of a dict");
        return NULL;
    }
    PyObject *before = heavy ? heavy : PyDict_New();
    heavy = Py_NewRef(types);
    return before;
}

/* ---- Pickling ---- */

static PyObject *travels_apart; /* raised in the middle of a pickling: an exception's type */

static PyObject *ndarray; /* numpy's, once that was imported */

static bool knows_arrays(void)
{
    static PyObject *name;
    if (ndarray)
        return true;
    if (!name)
        name = PyUnicode_InternFromString("numpy");
    PyObject *modules = PyImport_GetModuleDict();
    PyObject *numpy = name && modules ? PyDict_GetItemWithError(modules, name) : NULL;
    if (numpy) {
        Py_INCREF(numpy);
        ndarray = PyObject_GetAttrString(numpy, "ndarray"); /* not yet, while it is imported */
        Py_DECREF(numpy);
    }
    PyErr_Clear();
    return ndarray != NULL;
}

/* The pickler asks what is to become of a buffer. Small ones go into the pickle; but one of an
 * array that is read-only here would be so there, too, which needs a reducer. */
static PyObject *meet_buffer(PyObject *module, PyObject *buffer)
{
    (void)module;
    Py_buffer view;
    struct pcn_name name;
    uint64_t offset;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_ANY_CONTIGUOUS) < 0) {
        PyErr_Clear();
        Py_RETURN_TRUE; /* the pickler has a better message for it */
    }
    uint64_t length = (uint64_t)view.len;
    bool is_locked = view.readonly && ndarray && (PyObject *)Py_TYPE(view.obj) == ndarray;
    const struct pcn_arena *arena =
        is_locked || length >= LEAST_REFERRED ? family_arena_if_joined() : NULL;
    bool is_frozen = arena && pcn_memory_around(arena, view.buf, length, &name, &offset);
    bool is_apart = length >= LEAST_APART || (is_frozen ? length >= LEAST_REFERRED : is_locked);
    PyBuffer_Release(&view);
    if (!is_apart)
        Py_RETURN_TRUE;
    PyErr_SetNone(travels_apart);
    return NULL;
}

static PyMethodDef meet_buffer_method = {
    "meet_buffer", meet_buffer, METH_O,
    "meet_buffer(buffer): true, as it is to be pickled with the rest; gives up if it is not."};

/* pickle.dumps, called as the interpreter would call it. */
static PyObject *dumps, *dumps_self;
static _PyCFunctionFastWithKeywords dumps_at_once; /* NULL: it has to be called by PyObject_Call() */
static PyObject *protocol, *callback, *callback_name, *pickling_error;

static int prepare(void)
{
    PyObject *module = PyImport_ImportModule("_pickle");
    PyObject *found = module ? PyObject_GetAttrString(module, "dumps") : NULL;
    if (module && !pickling_error)
        pickling_error = PyObject_GetAttrString(module, "PicklingError");
    Py_XDECREF(module);
    if (!found || !pickling_error)
        return -1;
    travels_apart = PyErr_NewException("procession._core.binding.TravelsApart",
                                       PyExc_BaseException, NULL);
    protocol = PyLong_FromLong(5);
    callback = PyCFunction_New(&meet_buffer_method, NULL);
    callback_name = Py_BuildValue("(N)", PyUnicode_InternFromString("buffer_callback"));
    if (!travels_apart || !protocol || !callback || !callback_name)
        return -1;
    if (PyCFunction_Check(found) &&
        PyCFunction_GetFlags(found) == (METH_FASTCALL | METH_KEYWORDS)) {
        PyCFunction function = PyCFunction_GetFunction(found);
        memcpy(&dumps_at_once, &function, sizeof dumps_at_once);
        dumps_self = PyCFunction_GetSelf(found);
    }
    dumps = found;
    return 0;
}

static PyObject *pickled(PyObject *value, bool may_meet)
{
    if (!dumps && prepare() < 0)
        return NULL;
    if (dumps_at_once) {
        /* A callback costs something. Without one a buffer that should have travelled apart is
         * found behind it, too, but copied. */
        PyObject *arguments[] = {value, protocol, callback};
        return dumps_at_once(dumps_self, arguments, 2, may_meet ? callback_name : NULL);
    }
    PyObject *arguments = PyTuple_Pack(2, value, protocol);
    PyObject *keywords = Py_BuildValue("{s:O}", "buffer_callback", callback);
    PyObject *made = arguments && keywords ? PyObject_Call(dumps, arguments, keywords) : NULL;
    Py_XDECREF(arguments);
    Py_XDECREF(keywords);
    return made;
}

/* ---- What came of it ---- */

/* How many bytes the head of a large object says that it has, where no such head is: 0. */
static uint64_t length_there(const uint8_t *at, const uint8_t *end)
{
    uint32_t four = 0;
    uint64_t eight = 0;
    if (end - at > 9) {
        memcpy(&four, at + 1, sizeof four);
        memcpy(&eight, at + 1, sizeof eight);
    }
    switch (*at) {
    case 'B': /* BINBYTES */
    case 'X': /* BINUNICODE */
        return four;
    case 0x8e: /* BINBYTES8 */
    case 0x8d: /* BINUNICODE8 */
    case 0x96: /* BYTEARRAY8 */
        return eight;
    default:
        return 0;
    }
}

#define FRAME_TARGET 65536u /* pickle's own; what is as large lies between frames */

/* Whether a bytes, str or bytearray lies in a pickle that should have travelled apart. Protocol 5
 * packs what it writes into frames of 64 KiB or a little more, and leaves objects of that size
 * between them: so a few steps tell. Whoever is wrong here only takes the longer way. */
static bool has_large_part(PyObject *made)
{
    const uint8_t *at = (const uint8_t *)PyBytes_AsString(made);
    const uint8_t *end = at + PyBytes_Size(made);
    at += 2; /* the protocol */
    while (end - at > 9) {
        uint64_t length = length_there(at, end);
        if (length >= LEAST_APART)
            return true;
        if (length >= FRAME_TARGET) { /* between two frames, and not large enough */
            length += *at == 'B' || *at == 'X' ? 5 : 9;
            if (length > (uint64_t)(end - at))
                return false;
            at += length;
            continue;
        }
        uint64_t frame = 0;
        if (*at == 0x95) /* FRAME */
            memcpy(&frame, at + 1, sizeof frame);
        at++; /* a frame of less than 4 bytes has no head */
        if (frame > 0) {
            at += sizeof frame;
            if (frame > (uint64_t)(end - at))
                return false;
            at += frame;
        }
    }
    return false;
}

PyObject *quick_pickle(PyObject *value)
{
    PyObject *plain = plain_pickle(value);
    if (plain || PyErr_Occurred())
        return plain;
    int left = MOST;
    enum weight weight = weigh(value, DEEP, &left);
    if (weight != LIGHT && PyErr_Occurred()) /* an interrupt */
        return NULL;
    if (weight == LARGE)
        Py_RETURN_NONE;
    uint64_t pins = pins_so_far_made();
    /* Arrays first: which type theirs is must be known when the first one is met. */
    bool may_meet = weight != LIGHT &&
                    (knows_arrays() || memory_froze || (heavy && PyDict_Size(heavy) > 0));
    PyObject *made = pickled(value, may_meet);
    if (made) {
        if (PyBytes_Size(made) < (Py_ssize_t)LEAST_APART || !has_large_part(made))
            return made;
        Py_DECREF(made);
    } else if (travels_apart && PyErr_ExceptionMatches(travels_apart)) {
        PyErr_Clear();
    } else {
        withdraw_pins_since(pins);
        return NULL;
    }
    withdraw_pins_since(pins);
    Py_RETURN_NONE;
}

static PyObject *quick_dumps(PyObject *module, PyObject *value)
{
    (void)module;
    return quick_pickle(value);
}

static PyObject *quick_loads(PyObject *module, PyObject *content)
{
    static PyObject *loads;
    (void)module;
    PyObject *value = NULL;
    if (PyBytes_CheckExact(content))
        value = plain_load((const uint8_t *)PyBytes_AsString(content), PyBytes_Size(content));
    if (value)
        return value;
    PyErr_Clear(); /* no memory, or no text: pickle says so, if it is so */
    if (!loads) {
        PyObject *pickle = PyImport_ImportModule("_pickle");
        loads = pickle ? PyObject_GetAttrString(pickle, "loads") : NULL;
        Py_XDECREF(pickle);
    }
    return loads ? PyObject_CallFunctionObjArgs(loads, content, NULL) : NULL;
}

bool is_pickles_refusal(void)
{
    return PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_AttributeError) ||
           (pickling_error && PyErr_ExceptionMatches(pickling_error));
}

static PyObject *same_bytes(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *both[2];
    Py_buffer one, other;
    if (!PyArg_ParseTuple(args, "OO", &both[0], &both[1]) ||
        PyObject_GetBuffer(both[0], &one, PyBUF_ANY_CONTIGUOUS) < 0)
        return NULL;
    if (PyObject_GetBuffer(both[1], &other, PyBUF_ANY_CONTIGUOUS) < 0) {
        PyBuffer_Release(&one);
        return NULL;
    }
    bool same = one.len == other.len;
    if (same && one.len > 0) {
        Py_BEGIN_ALLOW_THREADS
        same = memcmp(one.buf, other.buf, (size_t)one.len) == 0;
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&one);
    PyBuffer_Release(&other);
    return PyBool_FromLong(same);
}

static PyObject *address_of(PyObject *module, PyObject *buffer)
{
    (void)module;
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_ANY_CONTIGUOUS) < 0)
        return NULL;
    void *address = view.buf;
    PyBuffer_Release(&view);
    return PyLong_FromVoidPtr(address);
}

PyMethodDef pickle_methods[] = {
    {"quick_dumps", quick_dumps, METH_O,
     "quick_dumps(value): pickle.dumps(value, 5); None if there is something in it that is to "
     "travel apart, large bytes, or a buffer that lies in frozen memory; or a read-only array."},
    {"quick_loads", quick_loads, METH_O, "quick_loads(content): pickle.loads(content)."},
    {"heavy_types", heavy_types, METH_O,
     "heavy_types(types): the types that quick_dumps() looks at before it begins, keys of a dict, "
     "which may grow. Its values are called with an instance, and tell how many bytes it has; None: "
     "its `nbytes` does. Returns the dict that was used so far."},
    {"same_bytes", same_bytes, METH_VARARGS,
     "same_bytes(one, other): whether two contiguous buffers have the same bytes."},
    {"address_of", address_of, METH_O, "address_of(buffer): where its bytes begin."},
    {NULL, NULL, 0, NULL},
};
