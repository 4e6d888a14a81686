/* Outcomes of the items of a chunk, one behind the other: a tag, and its content.
 *
 *   N, T, F        None, True, False
 *   b, h, i, q     an integer of 1, 2, 4 or 8 bytes
 *   d              a float
 *   S              a short text: 4 bytes of length, UTF-8
 *   P, E           8 bytes of length; a pickled value, an encoded exception
 *
 * Or they are a single pickle, which begins as none of these: the body of what came apart.
 * Numbers are in the machine's order. Only what comes back the same is taken as it is: exact
 * types, integers of up to 64 bits; everything else is pickled. */
#include "bind_channel.h"
#include "bind_raised.h"

#include <string.h>

enum { SHORT_TEXT = SIMPLE_OUTCOME - 5 };

static uint32_t put(uint8_t *to, char tag, const void *content, uint32_t length)
{
    to[0] = (uint8_t)tag;
    memcpy(to + 1, content, length);
    return 1 + length;
}

static uint32_t put_integer(PyObject *value, uint8_t *to)
{
    int too_large;
    int64_t number = PyLong_AsLongLongAndOverflow(value, &too_large);
    if (too_large)
        return 0;
    if (number >= INT8_MIN && number <= INT8_MAX)
        return put(to, 'b', &(int8_t){(int8_t)number}, 1);
    if (number >= INT16_MIN && number <= INT16_MAX)
        return put(to, 'h', &(int16_t){(int16_t)number}, 2);
    if (number >= INT32_MIN && number <= INT32_MAX)
        return put(to, 'i', &(int32_t){(int32_t)number}, 4);
    return put(to, 'q', &number, 8);
}

static uint32_t put_text(PyObject *value, uint8_t *to)
{
    Py_ssize_t length;
    if (PyUnicode_GetLength(value) > SHORT_TEXT)
        return 0;
    const char *text = PyUnicode_AsUTF8AndSize(value, &length);
    if (!text)
        PyErr_Clear(); /* lone surrogates: pickle knows what to do */
    if (!text || length > SHORT_TEXT)
        return 0;
    uint32_t bytes = put(to, 'S', &(uint32_t){(uint32_t)length}, 4);
    memcpy(to + bytes, text, (size_t)length);
    return bytes + (uint32_t)length;
}

uint32_t simple_outcome(PyObject *value, uint8_t *to)
{
    if (value == Py_None)
        return put(to, 'N', "", 0);
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyLong_Type)
        return put_integer(value, to);
    if (type == &PyFloat_Type)
        return put(to, 'd', &(double){PyFloat_AsDouble(value)}, sizeof(double));
    if (type == &PyBool_Type)
        return put(to, value == Py_True ? 'T' : 'F', "", 0);
    if (type == &PyUnicode_Type)
        return put_text(value, to);
    return 0;
}

void outcome_head(char tag, uint64_t length, uint8_t *to)
{
    put(to, tag, &length, sizeof length);
}

/* ---- and back ---- */

enum { SINGLE_PICKLE = 0x80 }; /* how each begins */
enum { SLICED = 4096 }; /* pickles of this many bytes and more are not copied to be loaded */

struct reader {
    PyObject *payload; /* what `bytes` belong to */
    const uint8_t *bytes;
    uint64_t length, at;
    PyObject *loads, *failures;
    Py_ssize_t index; /* of the outcome */
};

static int take(struct reader *reader, void *to, uint64_t length)
{
    if (length > reader->length - reader->at) {
        PyErr_Format(PyExc_ValueError, "the bytes end within outcome %zd", reader->index);
        return -1;
    }
    if (to)
        memcpy(to, reader->bytes + reader->at, length);
    reader->at += length;
    return 0;
}

static PyObject *take_integer(struct reader *reader, uint64_t width)
{
    union {
        int8_t b;
        int16_t h;
        int32_t i;
        int64_t q;
    } number;
    if (take(reader, &number, width) < 0)
        return NULL;
    return PyLong_FromLongLong(width == 1   ? number.b
                               : width == 2 ? number.h
                               : width == 4 ? number.i
                                            : number.q);
}

static PyObject *take_float(struct reader *reader)
{
    double number;
    return take(reader, &number, sizeof number) < 0 ? NULL : PyFloat_FromDouble(number);
}

static PyObject *take_text(struct reader *reader)
{
    uint32_t length;
    if (take(reader, &length, sizeof length) < 0 || take(reader, NULL, length) < 0)
        return NULL;
    return PyUnicode_DecodeUTF8((const char *)reader->bytes + reader->at - length,
                                (Py_ssize_t)length, "strict");
}

/* Where a long content begins; its length to *length. NULL with an exception. */
static const char *take_long(struct reader *reader, uint64_t *length)
{
    if (take(reader, length, sizeof *length) < 0 || take(reader, NULL, *length) < 0)
        return NULL;
    return (const char *)reader->bytes + reader->at - *length;
}

static PyObject *slice(const struct reader *reader, uint64_t length)
{
    PyObject *view = PyMemoryView_FromObject(reader->payload);
    PyObject *part = view ? PySequence_GetSlice(view, (Py_ssize_t)(reader->at - length),
                                                (Py_ssize_t)reader->at)
                          : NULL;
    Py_XDECREF(view);
    return part;
}

/* Note why there is no value. Takes the reference to `reason`. */
static PyObject *failed(struct reader *reader, PyObject *reason)
{
    PyObject *failure = reason ? Py_BuildValue("(nN)", reader->index, reason) : NULL;
    int lost = failure ? PyList_Append(reader->failures, failure) : -1;
    Py_XDECREF(failure);
    return lost < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *load(struct reader *reader, const char *content, uint64_t length)
{
    PyObject *bytes = length < SLICED
                          ? PyBytes_FromStringAndSize(content, (Py_ssize_t)length)
                          : slice(reader, length);
    if (!bytes)
        return NULL;
    PyObject *value = PyObject_CallFunctionObjArgs(reader->loads, bytes, NULL);
    Py_DECREF(bytes);
    if (value || !PyErr_ExceptionMatches(PyExc_Exception))
        return value;
    return failed(reader, take_exception());
}

static PyObject *take_pickle(struct reader *reader)
{
    uint64_t length;
    const char *content = take_long(reader, &length);
    return content ? load(reader, content, length) : NULL;
}

/* From its first byte on, which was read already. */
static PyObject *take_single(struct reader *reader)
{
    const char *content = (const char *)reader->bytes + reader->at - 1;
    reader->at = reader->length;
    return load(reader, content, reader->length);
}

static PyObject *take_error(struct reader *reader)
{
    uint64_t length;
    const char *content = take_long(reader, &length);
    return content ? failed(reader, PyBytes_FromStringAndSize(content, (Py_ssize_t)length)) : NULL;
}

static PyObject *take_outcome(struct reader *reader)
{
    uint8_t tag = reader->bytes[reader->at++];
    switch (tag) {
    case 'N':
        return Py_NewRef(Py_None);
    case 'T':
        return Py_NewRef(Py_True);
    case 'F':
        return Py_NewRef(Py_False);
    case 'b':
        return take_integer(reader, 1);
    case 'h':
        return take_integer(reader, 2);
    case 'i':
        return take_integer(reader, 4);
    case 'q':
        return take_integer(reader, 8);
    case 'd':
        return take_float(reader);
    case 'S':
        return take_text(reader);
    case PICKLED_TAG:
        return take_pickle(reader);
    case ERROR_TAG:
        return take_error(reader);
    case SINGLE_PICKLE:
        if (reader->at == 1)
            return take_single(reader);
        break;
    default:
        break;
    }
    PyErr_Format(PyExc_ValueError, "outcome %zd has an unknown tag, %d", reader->index, tag);
    return NULL;
}

static PyObject *take_all(struct reader *reader)
{
    PyObject *values = PyList_New(0);
    while (values && reader->at < reader->length) {
        PyObject *value = take_outcome(reader);
        if (!value || PyList_Append(values, value) < 0)
            Py_CLEAR(values);
        Py_XDECREF(value);
        reader->index++;
    }
    return values;
}

static PyObject *decode_outcomes(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count != 3 || !PyList_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "decode_outcomes(payload, loads, failures list)");
        return NULL;
    }
    Py_buffer payload;
    if (PyObject_GetBuffer(args[0], &payload, PyBUF_SIMPLE) < 0)
        return NULL;
    struct reader reader = {.payload = args[0],
                            .bytes = payload.buf,
                            .length = (uint64_t)payload.len,
                            .loads = args[1],
                            .failures = args[2]};
    PyObject *values = take_all(&reader);
    PyBuffer_Release(&payload);
    return values;
}

PyMethodDef outcomes_methods[] = {
    {"decode_outcomes", (PyCFunction)(void (*)(void))decode_outcomes, METH_FASTCALL,
     "decode_outcomes(payload, loads, failures): the values of a chunk's outcomes. One that is an "
     "error, or that loads() raises an Exception for, is None there, and (index, encoded error or "
     "exception) in `failures`."},
    {NULL, NULL, 0, NULL},
};
