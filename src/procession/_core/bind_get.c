/* Taking objects out of a queue. */
#include "bind_queue.h"

#include <string.h>
#include <unistd.h>

#include "bind_raised.h"

#define MANY_ROOM 262144u /* bytes of records that get_many() takes at once */
#define DRAINED 64u       /* items that are thrown away at once */

/* Nothing is there any more: what a selector sees says so, too. */
static void lower_signal(Queue *self, const struct pcn_share *share)
{
    uint64_t count;
    if (self->signal >= 0 && !pcn_queue_has_items(share->queue) &&
        read(self->signal, &count, sizeof count) < 0)
        return; /* it was not raised */
}

static int wait_for_items(Queue *self, const struct pcn_share *share, uint64_t deadline)
{
    bool there;
    if (queue_patience(deadline, QUEUE_STEP_NS) == 0) {
        raise_of_queue("Empty");
        return -1;
    }
    if (pcn_queue_glance(share->queue))
        return 0;
    Py_BEGIN_ALLOW_THREADS
    there = pcn_queue_spin(share->queue);
    Py_END_ALLOW_THREADS
    if (there)
        return 0;
    return queue_sleep(self, share, QUEUE_GET, deadline, QUEUE_STEP_NS, pcn_queue_wait_items);
}

/* Take items, as soon as there are any. */
static int take(Queue *self, struct pcn_share *share, uint32_t most, struct pcn_taking *taking,
                uint64_t deadline)
{
    unsigned turns = 0;
    for (;;) {
        /* Each time: a signal handler may have closed it. */
        if (queue_share(self, share, true) < 0)
            return -1;
        if (share->queue->joinable)
            note_place(&self->handle, share->arena);
        enum pcn_status status = pcn_queue_get(share, most, taking, false);
        switch (status) {
        case PCN_OK:
            if (taking->emptied)
                free_block(share->arena, taking->emptied);
            if (self->signal >= 0)
                lower_signal(self, share);
            return 0;
        case PCN_BUSY:
            if (queue_give_way(&turns) < 0)
                return -1;
            break;
        case PCN_EMPTY:
            if (wait_for_items(self, share, deadline) < 0)
                return -1;
            break;
        case PCN_CLOSED:
            raise_of_queue("ShutDown");
            return -1;
        default:
            raise_status(status);
            return -1;
        }
    }
}

static PyObject *get_one(Queue *self, uint64_t deadline)
{
    _Alignas(8) uint8_t bytes[PCN_QUEUE_RECORD];
    struct pcn_taking taking = {.bytes = bytes, .room = sizeof bytes};
    struct pcn_share share;
    if (take(self, &share, 1, &taking, deadline) < 0)
        return NULL;
    uint64_t at = 0;
    struct pcn_item item = pcn_queue_taken(&share, &taking, &at);
    return unpack_item(share.arena, &item);
}

PyObject *queue_get(Queue *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    static const char *const names[] = {"block", "timeout", NULL};
    PyObject *values[2] = {NULL};
    uint64_t deadline = UINT64_MAX;
    if ((count || keywords) &&
        (queue_arguments("get", names, 0, args, count, keywords, values) < 0 ||
         queue_deadline(values[0], values[1], &deadline) < 0))
        return NULL;
    return get_one(self, deadline);
}

PyObject *queue_get_nowait(Queue *self, PyObject *ignored)
{
    (void)ignored;
    return get_one(self, 0);
}

PyObject *queue_get_simply(Queue *self, PyObject *ignored)
{
    (void)ignored;
    return get_one(self, UINT64_MAX);
}

/* The first item that can not be unpickled raises; the exception has the others. */
static PyObject *raise_with(struct raised *kept, PyObject *others)
{
    PyErr_NormalizeException(&kept->type, &kept->value, &kept->trace);
    if (!kept->value || PyObject_SetAttrString(kept->value, "got", others) < 0)
        PyErr_Clear(); /* an exception that takes no attributes */
    Py_DECREF(others);
    raise_kept(kept);
    return NULL;
}

static PyObject *unpack_all(const struct pcn_share *share, const struct pcn_taking *taking)
{
    PyObject *objects = PyList_New(0);
    struct raised kept = {NULL, NULL, NULL};
    if (!objects)
        keep_raised(&kept);
    for (uint64_t at = 0; at < taking->used;) {
        struct pcn_item item = pcn_queue_taken(share, taking, &at);
        PyObject *object = unpack_item(share->arena, &item);
        if (object && objects && PyList_Append(objects, object) == 0) {
            Py_DECREF(object);
            continue;
        }
        Py_XDECREF(object);
        if (PyErr_Occurred())
            keep_raised(&kept);
    }
    if (kept.type && objects)
        return raise_with(&kept, objects);
    raise_kept(&kept);
    return objects;
}

PyObject *queue_get_many(Queue *self, PyObject *const *args, Py_ssize_t count,
                         PyObject *keywords)
{
    static const char *const names[] = {"n", "block", "timeout", NULL};
    PyObject *values[3] = {NULL};
    uint64_t deadline;
    if (queue_arguments("get_many", names, 1, args, count, keywords, values) < 0 ||
        queue_deadline(values[1], values[2], &deadline) < 0)
        return NULL;
    Py_ssize_t most = PyNumber_AsSsize_t(values[0], NULL);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    if (most < 1) {
        PyErr_SetString(PyExc_ValueError, "get_many() takes at least one item: n must be positive");
        return NULL;
    }
    uint8_t *bytes = PyMem_Malloc(MANY_ROOM);
    if (!bytes)
        return PyErr_NoMemory();
    struct pcn_taking taking = {.bytes = bytes, .room = MANY_ROOM};
    struct pcn_share share;
    PyObject *objects = NULL;
    if (take(self, &share, most > UINT32_MAX ? UINT32_MAX : (uint32_t)most, &taking, deadline) == 0)
        objects = unpack_all(&share, &taking);
    PyMem_Free(bytes);
    return objects;
}

/* Throw away all that is there, as taken and done. */
PyObject *queue_drain(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    uint8_t *bytes = PyMem_Malloc(MANY_ROOM);
    if (!bytes || queue_share(self, &share, false) < 0) {
        PyMem_Free(bytes);
        return bytes ? NULL : PyErr_NoMemory();
    }
    struct pcn_taking taking = {.bytes = bytes, .room = MANY_ROOM};
    Py_BEGIN_ALLOW_THREADS
    while (pcn_queue_get(&share, DRAINED, &taking, true) == PCN_OK) {
        if (taking.emptied)
            pcn_block_free(share.arena, taking.emptied, false, true);
        for (uint64_t at = 0; at < taking.used;) {
            struct pcn_item item = pcn_queue_taken(&share, &taking, &at);
            if (item.block)
                pcn_block_free(share.arena, item.block, false, true);
        }
        for (uint32_t i = 0; share.queue->joinable && i < taking.count; i++)
            pcn_queue_done(&share, true);
    }
    Py_END_ALLOW_THREADS
    PyMem_Free(bytes);
    lower_signal(self, &share);
    Py_RETURN_NONE;
}
