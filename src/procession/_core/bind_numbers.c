/* Lists of plain integers or plain floats as machine words: a quarter of what pickle costs at
 * either end. Only what comes back the same is taken: exact types, and integers of up to 64 bits.
 *
 * The bytes: a letter ('b', 'h', 'i' or 'q' for integers of 1, 2, 4 or 8 bytes, the smallest that
 * holds them all; 'd' for floats), then the numbers, in the machine's order. */
#include "binding.h"

#include <stdint.h>
#include <string.h>

enum { HEAD = 1, WORD = 8 };

static char width_letter(int64_t smallest, int64_t largest)
{
    if (smallest >= INT8_MIN && largest <= INT8_MAX)
        return 'b';
    if (smallest >= INT16_MIN && largest <= INT16_MAX)
        return 'h';
    if (smallest >= INT32_MIN && largest <= INT32_MAX)
        return 'i';
    return 'q';
}

static Py_ssize_t width_of(char letter)
{
    switch (letter) {
    case 'b':
        return 1;
    case 'h':
        return 2;
    case 'i':
        return 4;
    case 'q':
    case 'd':
        return WORD;
    default:
        return 0;
    }
}

/* The numbers of a list of integers into `words`; the letter that is enough, or 0 if they are
 * not all plain integers of up to 64 bits. */
static char take_integers(PyObject *list, Py_ssize_t count, int64_t *words)
{
    int64_t smallest = 0, largest = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyList_GetItem(list, i);
        if (!item || Py_TYPE(item) != &PyLong_Type)
            return 0;
        int too_large;
        long long number = PyLong_AsLongLongAndOverflow(item, &too_large);
        if (too_large)
            return 0;
        words[i] = number;
        smallest = number < smallest ? number : smallest;
        largest = number > largest ? number : largest;
    }
    return width_letter(smallest, largest);
}

static char take_floats(PyObject *list, Py_ssize_t count, double *words)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyList_GetItem(list, i);
        if (!item || Py_TYPE(item) != &PyFloat_Type)
            return 0;
        words[i] = PyFloat_AsDouble(item);
    }
    return 'd';
}

static PyObject *pack(char letter, const int64_t *words, Py_ssize_t count)
{
    Py_ssize_t width = width_of(letter);
    PyObject *packed = PyBytes_FromStringAndSize(NULL, HEAD + count * width);
    if (!packed)
        return NULL;
    char *to = PyBytes_AsString(packed);
    *to = letter;
    to += HEAD;
    for (Py_ssize_t i = 0; i < count; i++, to += width) {
        if (letter == 'b') {
            *to = (char)words[i];
        } else if (letter == 'h') {
            int16_t word = (int16_t)words[i];
            memcpy(to, &word, sizeof word);
        } else if (letter == 'i') {
            int32_t word = (int32_t)words[i];
            memcpy(to, &word, sizeof word);
        } else {
            memcpy(to, &words[i], WORD);
        }
    }
    return packed;
}

static PyObject *pack_numbers(PyObject *module, PyObject *list)
{
    (void)module;
    if (Py_TYPE(list) != &PyList_Type) {
        PyErr_SetString(PyExc_TypeError, "pack_numbers(list)");
        return NULL;
    }
    Py_ssize_t count = PyList_Size(list);
    PyTypeObject *first = count > 0 ? Py_TYPE(PyList_GetItem(list, 0)) : NULL;
    if (first != &PyLong_Type && first != &PyFloat_Type)
        Py_RETURN_NONE;
    int64_t *words = PyMem_Malloc((size_t)count * WORD);
    if (!words)
        return PyErr_NoMemory();
    /* No code of the user's runs in here, so the list stays as it is. */
    char letter = first == &PyLong_Type ? take_integers(list, count, words)
                                        : take_floats(list, count, (double *)(void *)words);
    PyObject *packed = letter ? pack(letter, words, count) : Py_NewRef(Py_None);
    PyMem_Free(words);
    return packed;
}

static PyObject *unpack_one(char letter, const char *from)
{
    if (letter == 'b')
        return PyLong_FromLong(*(const signed char *)from);
    if (letter == 'd') {
        double number;
        memcpy(&number, from, WORD);
        return PyFloat_FromDouble(number);
    }
    if (letter == 'h') {
        int16_t number;
        memcpy(&number, from, sizeof number);
        return PyLong_FromLong(number);
    }
    if (letter == 'i') {
        int32_t number;
        memcpy(&number, from, sizeof number);
        return PyLong_FromLong(number);
    }
    int64_t number;
    memcpy(&number, from, sizeof number);
    return PyLong_FromLongLong(number);
}

static PyObject *unpack_numbers(PyObject *module, PyObject *packed)
{
    (void)module;
    Py_buffer bytes;
    if (PyObject_GetBuffer(packed, &bytes, PyBUF_SIMPLE) < 0)
        return NULL;
    const char *from = bytes.buf;
    Py_ssize_t width = bytes.len > 0 ? width_of(*from) : 0;
    PyObject *list = NULL;
    if (width == 0 || (bytes.len - HEAD) % width != 0) {
        PyErr_SetString(PyExc_ValueError, "these bytes are not what pack_numbers() returns");
    } else {
        Py_ssize_t count = (bytes.len - HEAD) / width;
        list = PyList_New(count);
        for (Py_ssize_t i = 0; list && i < count; i++) {
            PyObject *number = unpack_one(*from, from + HEAD + i * width);
            if (!number)
                Py_CLEAR(list);
            else
                PyList_SetItem(list, i, number);
        }
    }
    PyBuffer_Release(&bytes);
    return list;
}

PyMethodDef numbers_methods[] = {
    {"pack_numbers", pack_numbers, METH_O,
     "pack_numbers(list): its numbers as bytes, if all are plain integers of up to 64 bits or all "
     "plain floats; else None."},
    {"unpack_numbers", unpack_numbers, METH_O,
     "unpack_numbers(buffer): the list that pack_numbers() was given."},
    {NULL, NULL, 0, NULL},
};
