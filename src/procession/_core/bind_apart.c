/* Bodies with their buffers apart: one block where they are sent, a Memory object where they
 * arrive. */
#include "bind_apart.h"

#include <string.h>

#include "bind_memory.h"
#include "platform.h"

static int hold(struct apart *apart, PyObject *object, struct pcn_part *part)
{
    Py_buffer *view = &apart->views[apart->held];
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0)
        return -1;
    apart->held++;
    *part = (struct pcn_part){view->buf, (uint64_t)view->len};
    return 0;
}

void apart_release(struct apart *apart)
{
    while (apart->held > 0)
        PyBuffer_Release(&apart->views[--apart->held]);
    PyMem_Free(apart->views);
    PyMem_Free(apart->buffers);
    apart->views = NULL;
    apart->buffers = NULL;
}

int apart_hold(struct apart *apart, PyObject *body, PyObject *buffers)
{
    memset(apart, 0, sizeof *apart);
    Py_ssize_t count = PySequence_Size(buffers);
    if (count < 0)
        return -1;
    apart->views = PyMem_Calloc((size_t)count + 1, sizeof *apart->views);
    apart->buffers = PyMem_Calloc((size_t)count + 1, sizeof *apart->buffers);
    int failed = apart->views && apart->buffers ? hold(apart, body, &apart->body) : -1;
    if (failed && !PyErr_Occurred())
        PyErr_NoMemory();
    while (!failed && apart->count < count) {
        PyObject *buffer = PySequence_GetItem(buffers, apart->count);
        failed = buffer ? hold(apart, buffer, &apart->buffers[apart->count]) : -1;
        Py_XDECREF(buffer);
        apart->count++;
    }
    if (failed)
        apart_release(apart);
    else
        apart->size = pcn_apart_size(&apart->body, apart->buffers, (uint64_t)count);
    return failed;
}

int apart_hold_pair(struct apart *apart, PyObject *pair)
{
    if (PyTuple_Size(pair) == 2)
        return apart_hold(apart, PyTuple_GetItem(pair, 0), PyTuple_GetItem(pair, 1));
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "what goes apart is a tuple (body, parts)");
    return -1;
}

void apart_write(struct pcn_arena *arena, const struct apart *apart, pcn_block_id block)
{
    uint8_t *to = pcn_block_bytes(arena, block);
    uint64_t count = (uint64_t)apart->count;
    if (apart->size < LONG_COPY) {
        pcn_apart_write(to, &apart->body, apart->buffers, count);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    pcn_map_ahead(to, apart->size);
    pcn_apart_write(to, &apart->body, apart->buffers, count);
    Py_END_ALLOW_THREADS
}

/* More than half of what blocks may have is in use. */
static bool is_crowded(const struct pcn_arena *arena)
{
    const struct pcn_head *head = pcn_head(arena);
    uint64_t paged = pcn_load_relaxed64(&head->paged);
    uint64_t warm = pcn_load_relaxed64(&head->warm_free);
    uint64_t budget = pcn_load_relaxed64(&head->budget);
    return budget != 0 && paged > warm && paged - warm > budget / 2;
}

PyObject *apart_arrived(struct pcn_arena *arena, pcn_block_id *block, uint64_t length)
{
    PyObject *arrived = is_crowded(arena) ? NULL : memory_around(block, length);
    if (arrived || !*block)
        return arrived;
    PyErr_Clear();
    arrived = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (arrived)
        return arrived;
    PyErr_Clear();
    return memory_around(block, length);
}

void free_block(struct pcn_arena *arena, pcn_block_id block)
{
    if (pcn_block_free(arena, block, false, false) != PCN_BUSY)
        return;
    Py_BEGIN_ALLOW_THREADS
    pcn_block_free(arena, block, false, true);
    Py_END_ALLOW_THREADS
}
