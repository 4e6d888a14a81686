/* Putting objects into a queue. */
#include "bind_queue.h"

#include <string.h>

#include "bind_memory.h"
#include "bind_raised.h"

#define BATCH 64 /* objects of put_many() that go in together */

/* Copy what is large, or apart, to a block of ours. */
static int to_block(const struct pcn_share *share, struct packed *packed, uint64_t deadline)
{
    pcn_block_id block;
    if (!packed_needs_block(packed))
        return 0;
    uint64_t patience = queue_patience(deadline, UINT64_MAX);
    if (allocate_patiently(share->arena, PCN_FOR_ARGUMENTS, packed->item.length, patience, &block) <
        0)
        return -1;
    packed_write(share->arena, packed, block);
    packed->item.block = block;
    return 0;
}

static int wait_for_room(Queue *self, const struct pcn_share *share, uint64_t deadline)
{
    if (queue_patience(deadline, QUEUE_STEP_NS) == 0) {
        raise_of_queue("Full");
        return -1;
    }
    return queue_sleep(self, share, QUEUE_PUT, deadline, QUEUE_STEP_NS, pcn_queue_wait_room);
}

/* Wait for room before a large payload is copied, or names are entrusted; it may be gone again when
 * that is done. */
static int expect_room(Queue *self, struct pcn_share *share, uint64_t deadline)
{
    while (!pcn_queue_has_room(share->queue) && !pcn_queue_is_closed(share->queue)) {
        if (wait_for_room(self, share, deadline) < 0 || queue_share(self, share, true) < 0)
            return -1;
    }
    return 0;
}

/* What has been pickled for items is entrusted to the queue, late: who dies before leaves none. */
static int entrust(Queue *self, const struct packed *packed, uint32_t count, uint64_t deadline)
{
    struct pcn_share share;
    uint32_t first = 0;
    while (first < count && !packed[first].pins)
        first++;
    if (first == count)
        return 0;
    if (queue_share(self, &share, true) < 0 || expect_room(self, &share, deadline) < 0)
        return -1;
    packed_entrust(&packed[first], &self->handle); /* and what was pickled behind it */
    return 0;
}

/* Put items in, as soon as there is room; *went is how many did. */
static int put_items(Queue *self, const struct packed *packed, const struct pcn_item *items,
                     uint32_t count, uint64_t deadline, uint32_t *went)
{
    struct pcn_share share;
    unsigned turns = 0;
    *went = 0;
    if (entrust(self, packed, count, deadline) < 0)
        return -1;
    for (;;) {
        uint32_t now;
        /* Each time: a signal handler may have closed it. */
        if (queue_share(self, &share, true) < 0)
            return -1;
        enum pcn_status status = pcn_queue_put(&share, items + *went, count - *went, &now, false);
        *went += now;
        switch (status) {
        case PCN_OK:
            return 0;
        case PCN_BUSY:
            if (queue_give_way(&turns) < 0)
                return -1;
            break;
        case PCN_FULL:
            if (wait_for_room(self, &share, deadline) < 0)
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

/* Give back what did not go in. */
static void withdraw(Queue *self, struct pcn_item *items, uint32_t count)
{
    struct pcn_share share;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    if (queue_share(self, &share, false) == 0) {
        for (uint32_t i = 0; i < count; i++) {
            if (items[i].block)
                free_block(share.arena, items[i].block);
        }
    }
    PyErr_Clear();
    PyErr_Restore(type, value, trace);
}

/* Pickling failed: whoever has a say in it (Queue._refused) says whether that is dealt with. */
static int is_dealt_with(Queue *self, PyObject *object)
{
    PyObject *type, *error, *trace;
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return 0;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (!PyObject_HasAttrString((PyObject *)self, "_refused")) {
        PyErr_Restore(type, error, trace);
        return 0;
    }
    if (error && trace)
        PyException_SetTraceback(error, trace);
    PyObject *answer = PyObject_CallMethod((PyObject *)self, "_refused", "OO", error, object);
    int dealt_with = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    if (dealt_with == 0) {
        PyErr_Restore(type, error, trace);
        return 0;
    }
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    return dealt_with;
}

static PyObject *put_one(Queue *self, PyObject *object, uint64_t deadline)
{
    struct pcn_share share;
    struct packed packed;
    uint32_t went;
    if (queue_share(self, &share, true) < 0)
        return NULL;
    if (pack_object(object, &packed) < 0) {
        int dealt_with = is_dealt_with(self, object);
        return dealt_with > 0 ? Py_NewRef(Py_None) : NULL;
    }
    int failed = 0;
    if (packed_needs_block(&packed)) {
        /* Pickling ran code of the user's. */
        failed = queue_share(self, &share, true) < 0 || expect_room(self, &share, deadline) < 0 ||
                 to_block(&share, &packed, deadline) < 0;
    }
    if (!failed)
        failed = put_items(self, &packed, &packed.item, 1, deadline, &went);
    if (failed) {
        withdraw(self, &packed.item, 1);
        packed_withdraw(&packed);
    } else {
        packed_sent(&packed);
    }
    packed_release(&packed);
    return failed ? NULL : Py_NewRef(Py_None);
}

PyObject *queue_put(Queue *self, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    static const char *const names[] = {"obj", "block", "timeout", NULL};
    PyObject *values[3] = {NULL};
    uint64_t deadline = UINT64_MAX;
    if (count == 1 && !keywords)
        return put_one(self, args[0], deadline);
    if (queue_arguments("put", names, 1, args, count, keywords, values) < 0 ||
        queue_deadline(values[1], values[2], &deadline) < 0)
        return NULL;
    return put_one(self, values[0], deadline);
}

PyObject *queue_put_nowait(Queue *self, PyObject *object)
{
    return put_one(self, object, 0);
}

PyObject *queue_put_simply(Queue *self, PyObject *object)
{
    return put_one(self, object, UINT64_MAX);
}

/* The objects of put_many() that are to go in together. */
struct batch {
    struct packed packed[BATCH];
    struct pcn_item items[BATCH];
    uint32_t count;
    uint64_t bytes;
};

static int flush(Queue *self, struct batch *batch, uint64_t deadline, uint64_t *put)
{
    uint32_t went = 0;
    int failed = 0;
    for (uint32_t i = 0; i < batch->count; i++)
        batch->items[i] = batch->packed[i].item;
    if (batch->count)
        failed = put_items(self, batch->packed, batch->items, batch->count, deadline, &went);
    if (failed)
        withdraw(self, batch->items + went, batch->count - went);
    for (uint32_t i = batch->count; i-- > 0;) { /* each also covers what was pickled behind it */
        if (i >= went)
            packed_withdraw(&batch->packed[i]);
        else
            packed_sent(&batch->packed[i]);
        packed_release(&batch->packed[i]);
    }
    batch->count = 0;
    batch->bytes = 0;
    *put += went;
    return failed;
}

/* One more object; large ones at the end of a batch, and very large ones alone: nobody is to wait
 * for room that what waits here has taken. */
static int add(Queue *self, struct batch *batch, PyObject *object, uint64_t deadline,
               uint64_t *put)
{
    struct pcn_share share;
    struct packed *packed = &batch->packed[batch->count];
    if (pack_object(object, packed) < 0)
        return is_dealt_with(self, object) > 0 ? 0 : -1;
    int failed = 0;
    if (batch->count && packed_needs_block(packed) && packed->item.length >= LONG_COPY) {
        failed = flush(self, batch, deadline, put);
        batch->packed[0] = *packed;
        packed = &batch->packed[0];
    }
    if (failed || queue_share(self, &share, true) < 0 || to_block(&share, packed, deadline) < 0) {
        packed_withdraw(packed);
        packed_release(packed);
        return -1;
    }
    batch->bytes += packed->item.block ? PCN_QUEUE_INLINE : packed->item.length;
    if (++batch->count == BATCH || batch->bytes >= 4 * PCN_QUEUE_INLINE ||
        packed->item.length >= LONG_COPY)
        return flush(self, batch, deadline, put);
    return 0;
}

/* What has gone in stays in: the exception says how many. */
static void note_count(uint64_t put)
{
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    PyObject *count = PyLong_FromUnsignedLongLong(put);
    if (!error || !count || PyObject_SetAttrString(error, "put_count", count) < 0)
        PyErr_Clear(); /* an exception that takes no attributes */
    Py_XDECREF(count);
    PyErr_Restore(type, error, trace);
}

PyObject *queue_put_many(Queue *self, PyObject *const *args, Py_ssize_t count,
                         PyObject *keywords)
{
    static const char *const names[] = {"iterable", "block", "timeout", NULL};
    PyObject *values[3] = {NULL};
    uint64_t deadline, put = 0;
    struct pcn_share share;
    if (queue_arguments("put_many", names, 1, args, count, keywords, values) < 0 ||
        queue_deadline(values[1], values[2], &deadline) < 0 ||
        queue_share(self, &share, true) < 0)
        return NULL;
    PyObject *iterator = PyObject_GetIter(values[0]);
    struct batch *batch = iterator ? PyMem_Malloc(sizeof *batch) : NULL;
    if (!batch) {
        Py_XDECREF(iterator);
        return iterator ? PyErr_NoMemory() : NULL;
    }
    batch->count = 0;
    batch->bytes = 0;
    PyObject *object;
    int failed = 0;
    while (!failed && (object = PyIter_Next(iterator))) {
        failed = add(self, batch, object, deadline, &put);
        Py_DECREF(object);
    }
    failed = failed || PyErr_Occurred();
    struct raised kept = {NULL, NULL, NULL};
    if (failed) { /* what came before it goes in all the same, but nobody waits who is to end */
        deadline = PyErr_ExceptionMatches(PyExc_Exception) ? deadline : 0;
        keep_raised(&kept);
    }
    if (flush(self, batch, deadline, &put) < 0)
        keep_raised(&kept);
    raise_kept(&kept);
    PyMem_Free(batch);
    Py_DECREF(iterator);
    if (!PyErr_Occurred())
        return PyLong_FromUnsignedLongLong(put);
    note_count(put);
    return NULL;
}
