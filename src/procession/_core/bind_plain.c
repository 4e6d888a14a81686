/* Pickles of what is plain, written and read without pickle.
 *
 * Plain are None, bools, integers of 64 bits, floats, short texts and bytes; tuples of such; and
 * the dicts of keyword arguments: all of these of the exact types. Most calls have no other
 * arguments and most results are no more, and pickle takes longer to get ready than to do them. The
 * format is that of protocol 5, byte for byte as pickle writes it, so either side may use either.
 *
 * What occurs twice is named once by pickle, so that it is one object there, too: such values are
 * left to it. */
#include "bind_plain.h"

#include <string.h>

#define PLAIN_DEPTH 3 /* the pair of arguments, one of them, and a tuple in that */
#define PLAIN_MET 16u /* objects that could occur twice */
#define PLAIN_SHORT 255

enum {
    FRAME = 0x95,
    MEMOIZE = 0x94,
    NONE = 'N',
    NEW_TRUE = 0x88,
    NEW_FALSE = 0x89,
    ONE_BYTE = 'K',
    TWO_BYTES = 'M',
    FOUR_BYTES = 'J',
    LONG_1 = 0x8a,
    FLOAT = 'G',
    SHORT_TEXT = 0x8c,
    SHORT_BYTES = 'C',
    EMPTY_TUPLE = ')',
    TUPLE_1 = 0x85,
    TUPLE_2 = 0x86,
    TUPLE_3 = 0x87,
    MARK = '(',
    TUPLE = 't',
    EMPTY_DICT = '}',
    SET_ITEM = 's',
    SET_ITEMS = 'u',
    STOP = '.',
};

#define PLAIN_HEAD 11 /* the protocol, and the head of a frame */
#define PLAIN_LEAST_FRAME 4

/* ---- writing ---- */

struct writer {
    uint8_t *at;
    const uint8_t *end;
    PyObject *met[PLAIN_MET];
    uint32_t count;
};

static bool has_room(const struct writer *writer, Py_ssize_t bytes)
{
    return writer->end - writer->at >= bytes;
}

/* The lowest bytes of a number, the lowest first. */
static void put_number(struct writer *writer, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *writer->at++ = (uint8_t)(number >> 8 * i);
}

static bool write_integer(struct writer *writer, PyObject *value)
{
    int too_large;
    int64_t number = PyLong_AsLongLongAndOverflow(value, &too_large);
    if (too_large || !has_room(writer, 10))
        return false;
    if (number >= 0 && number <= 0xffff) {
        int bytes = number > 0xff ? 2 : 1;
        *writer->at++ = bytes == 2 ? TWO_BYTES : ONE_BYTE;
        put_number(writer, (uint64_t)number, bytes);
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
        *writer->at++ = FOUR_BYTES;
        put_number(writer, (uint64_t)number, 4);
    } else {
        int bytes = 5; /* as few as keep the sign */
        while (bytes < 8 && (number >> (8 * bytes - 1) != 0 && number >> (8 * bytes - 1) != -1))
            bytes++;
        *writer->at++ = LONG_1;
        *writer->at++ = (uint8_t)bytes;
        put_number(writer, (uint64_t)number, bytes);
    }
    return true;
}

static bool write_float(struct writer *writer, PyObject *value)
{
    double number = PyFloat_AsDouble(value);
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (!has_room(writer, 9))
        return false;
    *writer->at++ = FLOAT;
    for (int i = 7; i >= 0; i--) /* the highest byte first */
        *writer->at++ = (uint8_t)(bits >> 8 * i);
    return true;
}

static bool write_short(struct writer *writer, uint8_t kind, const char *bytes, Py_ssize_t length)
{
    if (length > PLAIN_SHORT || !has_room(writer, length + 3))
        return false;
    *writer->at++ = kind;
    *writer->at++ = (uint8_t)length;
    memcpy(writer->at, bytes, (size_t)length);
    writer->at += length;
    *writer->at++ = MEMOIZE;
    return true;
}

static bool write_text(struct writer *writer, PyObject *value)
{
    Py_ssize_t length;
    if (PyUnicode_GetLength(value) > PLAIN_SHORT)
        return false;
    const char *text = PyUnicode_AsUTF8AndSize(value, &length);
    if (!text)
        PyErr_Clear(); /* lone surrogates: pickle knows what to do */
    return text && write_short(writer, SHORT_TEXT, text, length);
}

static bool is_new(struct writer *writer, PyObject *value)
{
    for (uint32_t i = 0; i < writer->count; i++)
        if (writer->met[i] == value)
            return false;
    if (writer->count == PLAIN_MET)
        return false;
    writer->met[writer->count++] = value;
    return true;
}

static bool write_value(struct writer *writer, PyObject *value, int depth);

static bool write_tuple(struct writer *writer, PyObject *value, int depth)
{
    static const uint8_t counted[] = {EMPTY_TUPLE, TUPLE_1, TUPLE_2, TUPLE_3};
    Py_ssize_t count = PyTuple_Size(value);
    if (depth == 0 || !has_room(writer, 3))
        return false;
    if (count > 3)
        *writer->at++ = MARK;
    for (Py_ssize_t i = 0; i < count; i++)
        if (!write_value(writer, PyTuple_GetItem(value, i), depth - 1))
            return false;
    if (!has_room(writer, 2))
        return false;
    *writer->at++ = count > 3 ? TUPLE : counted[count];
    if (count > 0) /* there is but one empty tuple: it is not remembered */
        *writer->at++ = MEMOIZE;
    return true;
}

static bool write_dict(struct writer *writer, PyObject *value, int depth)
{
    Py_ssize_t count = PyDict_Size(value), position = 0;
    PyObject *key, *its;
    if (depth == 0 || !has_room(writer, 4))
        return false;
    *writer->at++ = EMPTY_DICT;
    *writer->at++ = MEMOIZE;
    if (count > 1)
        *writer->at++ = MARK;
    while (PyDict_Next(value, &position, &key, &its)) {
        if (Py_TYPE(key) != &PyUnicode_Type || !write_value(writer, key, 0) ||
            !write_value(writer, its, depth - 1))
            return false;
    }
    if (!has_room(writer, 1))
        return false;
    if (count > 0)
        *writer->at++ = count > 1 ? SET_ITEMS : SET_ITEM;
    return true;
}

/* Runs no Python code: nothing that is looked at can change meanwhile. */
static bool write_value(struct writer *writer, PyObject *value, int depth)
{
    PyTypeObject *type = Py_TYPE(value);
    if (type == &PyLong_Type)
        return write_integer(writer, value);
    if (type == &PyFloat_Type)
        return write_float(writer, value);
    if (value == Py_None || type == &PyBool_Type) {
        if (!has_room(writer, 1))
            return false;
        *writer->at++ = value == Py_None ? NONE : value == Py_True ? NEW_TRUE : NEW_FALSE;
        return true;
    }
    if (type == &PyTuple_Type && PyTuple_Size(value) == 0)
        return write_tuple(writer, value, 1);
    if (!is_new(writer, value))
        return false;
    if (type == &PyTuple_Type)
        return write_tuple(writer, value, depth);
    if (type == &PyDict_Type)
        return write_dict(writer, value, depth);
    if (type == &PyUnicode_Type)
        return write_text(writer, value);
    return type == &PyBytes_Type && write_short(writer, SHORT_BYTES, PyBytes_AsString(value),
                                                PyBytes_Size(value));
}

PyObject *plain_pickle(PyObject *value)
{
    uint8_t bytes[PLAIN_ROOM];
    struct writer writer = {.at = bytes + PLAIN_HEAD, .end = bytes + PLAIN_ROOM - 1};
    if (!write_value(&writer, value, PLAIN_DEPTH))
        return NULL;
    *writer.at++ = STOP;
    uint8_t *from = bytes;
    int64_t frame = writer.at - (bytes + PLAIN_HEAD);
    if (frame >= PLAIN_LEAST_FRAME) {
        bytes[2] = FRAME;
        struct writer head = {.at = bytes + 3};
        put_number(&head, (uint64_t)frame, 8);
    } else {
        from = bytes + PLAIN_HEAD - 2;
    }
    from[0] = 0x80;
    from[1] = 5;
    return PyBytes_FromStringAndSize((const char *)from, writer.at - from);
}

/* ---- reading ---- */

#define PLAIN_STACK 24

struct reader {
    const uint8_t *at, *end;
    PyObject *stack[PLAIN_STACK];
    int height;
    int mark; /* the height that the one mark was set at; -1: there is none */
};

/* Takes the reference. False without a value, and where it does not fit. */
static bool push(struct reader *reader, PyObject *value)
{
    if (value && reader->height < PLAIN_STACK) {
        reader->stack[reader->height++] = value;
        return true;
    }
    Py_XDECREF(value);
    return false;
}

/* A little-endian number of so many bytes, with its sign where it is said to have one. */
static PyObject *taken_number(struct reader *reader, int bytes, bool is_signed)
{
    uint64_t number = 0;
    if (bytes > 8 || reader->end - reader->at < bytes)
        return NULL;
    for (int i = 0; i < bytes; i++)
        number |= (uint64_t)*reader->at++ << 8 * i;
    if (is_signed && bytes > 0 && bytes < 8 && number >> (8 * bytes - 1))
        number |= ~(uint64_t)0 << 8 * bytes;
    return PyLong_FromLongLong((int64_t)number);
}

static PyObject *taken_float(struct reader *reader)
{
    uint64_t bits = 0;
    double number;
    if (reader->end - reader->at < 8)
        return NULL;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | *reader->at++;
    memcpy(&number, &bits, sizeof number);
    return PyFloat_FromDouble(number);
}

static PyObject *taken_short(struct reader *reader, bool is_text)
{
    if (reader->at == reader->end || reader->end - reader->at - 1 < *reader->at)
        return NULL;
    Py_ssize_t length = *reader->at++;
    const char *bytes = (const char *)reader->at;
    reader->at += length;
    return is_text ? PyUnicode_DecodeUTF8(bytes, length, "surrogatepass")
                   : PyBytes_FromStringAndSize(bytes, length);
}

/* Whether so many values lie there, above the mark if there is one. */
static bool has_values(const struct reader *reader, int count)
{
    return count >= 0 && reader->height - (reader->mark < 0 ? 0 : reader->mark) >= count;
}

static bool make_tuple(struct reader *reader, int count)
{
    if (!has_values(reader, count))
        return false;
    PyObject *made = PyTuple_New(count);
    for (int i = count; made && i-- > 0;)
        PyTuple_SetItem(made, i, reader->stack[--reader->height]);
    return push(reader, made);
}

/* Into the dict below them. */
static bool set_items(struct reader *reader, int count)
{
    int first = reader->height - count;
    if (count < 2 || count % 2 || !has_values(reader, count + 1) ||
        !PyDict_CheckExact(reader->stack[first - 1]))
        return false;
    bool all = true;
    for (int i = first; all && i < reader->height; i += 2)
        all = PyUnicode_CheckExact(reader->stack[i]) &&
              PyDict_SetItem(reader->stack[first - 1], reader->stack[i], reader->stack[i + 1]) == 0;
    while (reader->height > first)
        Py_DECREF(reader->stack[--reader->height]);
    return all;
}

/* So much lies above the mark, which is gone then; -1: there is none. */
static int above_mark(struct reader *reader)
{
    int count = reader->mark < 0 ? -1 : reader->height - reader->mark;
    reader->mark = -1;
    return count;
}

static bool set_mark(struct reader *reader)
{
    if (reader->mark >= 0)
        return false;
    reader->mark = reader->height;
    return true;
}

/* What one opcode says, but STOP. False: it is not plain, or an exception. */
static bool obey(struct reader *reader, uint8_t code)
{
    switch (code) {
    case MEMOIZE: /* nobody asks for it: that is no plain opcode */
        return has_values(reader, 1);
    case ONE_BYTE:
        return push(reader, taken_number(reader, 1, false));
    case TWO_BYTES:
        return push(reader, taken_number(reader, 2, false));
    case FOUR_BYTES:
        return push(reader, taken_number(reader, 4, true));
    case LONG_1:
        return reader->at < reader->end && push(reader, taken_number(reader, *reader->at++, true));
    case FLOAT:
        return push(reader, taken_float(reader));
    case NONE:
        return push(reader, Py_NewRef(Py_None));
    case NEW_TRUE:
        return push(reader, Py_NewRef(Py_True));
    case NEW_FALSE:
        return push(reader, Py_NewRef(Py_False));
    case SHORT_TEXT:
        return push(reader, taken_short(reader, true));
    case SHORT_BYTES:
        return push(reader, taken_short(reader, false));
    case EMPTY_TUPLE:
        return make_tuple(reader, 0);
    case TUPLE_1:
        return make_tuple(reader, 1);
    case TUPLE_2:
        return make_tuple(reader, 2);
    case TUPLE_3:
        return make_tuple(reader, 3);
    case MARK:
        return set_mark(reader);
    case TUPLE:
        return make_tuple(reader, above_mark(reader));
    case EMPTY_DICT:
        return push(reader, PyDict_New());
    case SET_ITEM:
        return set_items(reader, 2);
    case SET_ITEMS:
        return set_items(reader, above_mark(reader));
    default:
        return false;
    }
}

PyObject *plain_load(const uint8_t *bytes, Py_ssize_t length)
{
    struct reader reader = {.at = bytes + 2, .end = bytes + length, .mark = -1};
    if (length < 4 || length > (Py_ssize_t)PLAIN_ROOM || bytes[0] != 0x80 || bytes[1] != 5)
        return NULL;
    if (*reader.at == FRAME) {
        uint64_t frame = 0;
        for (int i = 7; length > PLAIN_HEAD && i >= 0; i--)
            frame = frame << 8 | reader.at[1 + i];
        if (frame == 0 || frame != (uint64_t)(length - PLAIN_HEAD))
            return NULL;
        reader.at += PLAIN_HEAD - 2;
    }
    bool goes_on = true;
    while (goes_on && reader.at < reader.end && *reader.at != STOP)
        goes_on = obey(&reader, *reader.at++);
    PyObject *value = NULL;
    if (goes_on && reader.at + 1 == reader.end && reader.height == 1 && reader.mark < 0)
        value = reader.stack[--reader.height];
    while (reader.height > 0)
        Py_DECREF(reader.stack[--reader.height]);
    return value;
}
