/* Where in the Python code something happens: asked at every taking of a lock, so a text is
 * made once for each instruction and found again by its code object and offset. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "bind_object.h"

#define PLACES 256u /* found again; two that fall on one entry make each other anew */

static struct {
    PyObject *code; /* kept: another one could get its address */
    int offset;
    char text[PCN_PLACE_ROOM];
} places[PLACES];

/* PyFrame_GetLasti() is there in every CPython since 3.11, though not in the stable ABI's
 * headers. Where it is not, a function has one place: where it begins. */
static int no_offset(PyFrameObject *frame)
{
    (void)frame;
    return -1;
}

static int ask_for_offset(PyFrameObject *frame);
static int (*offset_in)(PyFrameObject *) = ask_for_offset;

static int ask_for_offset(PyFrameObject *frame)
{
    void *symbol = dlsym(RTLD_DEFAULT, "PyFrame_GetLasti");
    offset_in = no_offset;
    if (symbol)
        memcpy(&offset_in, &symbol, sizeof offset_in);
    return offset_in(frame);
}

static long first_line(PyObject *code)
{
    PyObject *number = PyObject_GetAttrString(code, "co_firstlineno");
    long line = number ? PyLong_AsLong(number) : 0;
    Py_XDECREF(number);
    return line;
}

static void describe(char *text, PyFrameObject *frame, PyObject *code, int offset)
{
    PyObject *name = PyObject_GetAttrString(code, "co_qualname");
    PyObject *file = PyObject_GetAttrString(code, "co_filename");
    const char *function = name ? PyUnicode_AsUTF8AndSize(name, NULL) : NULL;
    const char *path = file ? PyUnicode_AsUTF8AndSize(file, NULL) : NULL;
    const char *last = path ? strrchr(path, '/') : NULL;
    long line = offset < 0 ? first_line(code) : PyFrame_GetLineNumber(frame);
    *text = 0;
    if (function && path)
        snprintf(text, PCN_PLACE_ROOM, "%.60s (%.48s:%ld)", function, last ? last + 1 : path,
                 line);
    Py_XDECREF(name);
    Py_XDECREF(file);
    PyErr_Clear();
}

/* Kept out of the way of those that find theirs. Takes `code` over. */
__attribute__((noinline)) static const char *make_place(size_t at, PyFrameObject *frame,
                                                        PyObject *code, int offset)
{
    PyObject *before = places[at].code;
    describe(places[at].text, frame, code, offset);
    places[at].offset = offset;
    places[at].code = code;
    Py_XDECREF(before);
    return places[at].text;
}

/* The text for a place; takes `code` over. */
static const char *find_place(PyFrameObject *frame, PyObject *code, int offset)
{
    size_t at = ((uintptr_t)code / 64u + (unsigned)offset / 2u * 31u) % PLACES;
    if (places[at].code != code || places[at].offset != offset)
        return make_place(at, frame, code, offset);
    Py_DECREF(code);
    return places[at].text;
}

const char *place_of_caller(struct handle *handle)
{
    (void)handle; /* the places are those of all handles */
    PyFrameObject *frame = PyEval_GetFrame();
    if (!frame)
        return "";
    return find_place(frame, (PyObject *)PyFrame_GetCode(frame), offset_in(frame));
}

void note_place(struct handle *handle, const struct pcn_arena *arena)
{
    PyFrameObject *frame = PyEval_GetFrame();
    if (!frame)
        return;
    PyObject *code = (PyObject *)PyFrame_GetCode(frame);
    int offset = offset_in(frame);
    /* Most locks are taken in the same place again. (Another code object at the same address is
     * possible, and would be told under the name of the old one.) */
    if (code == handle->noted_code && offset == handle->noted_offset) {
        Py_DECREF(code);
        return;
    }
    handle->noted_code = code;
    handle->noted_offset = offset;
    memcpy(handle_hold(arena, handle)->place, find_place(frame, code, offset), PCN_PLACE_ROOM);
}
