/* Channel, the parent's side: submit, and call, the same for the simplest and most frequent tasks.
 *
 * What is sent is in the ring and in the ledger, or in neither: no Python code that a signal handler
 * could interrupt runs in between. */
#include "bind_channel.h"

#include "bind_entry.h"
#include "bind_memory.h"

static int note_block(PyObject *entry, pcn_block_id block)
{
    return entry_set(entry, ENTRY_BLOCK, PyLong_FromUnsignedLong(block));
}

/* Push the record. The entry is in `open` before anybody can answer, and only if it is sent. */
static enum pcn_status send_entry(Channel *self, struct pcn_arena *arena, PyObject *open,
                                  PyObject *number, PyObject *entry,
                                  struct pcn_message *message, const void *payload,
                                  uint64_t *position)
{
    if (PyDict_SetItem(open, number, entry) < 0)
        return PCN_REFUSED;
    enum pcn_status status = PCN_BUSY;
    if (message->length <= PCN_INLINE_LIMIT)
        status = pcn_channel_submit(arena, self->channel, message, payload, false, position);
    if (status == PCN_BUSY) {
        channel_enter(self);
        Py_BEGIN_ALLOW_THREADS
        status = pcn_channel_submit(arena, self->channel, message, payload, true, position);
        Py_END_ALLOW_THREADS
        channel_leave(self);
    }
    if (status != PCN_OK && PyDict_DelItem(open, number) < 0)
        PyErr_Clear();
    return status;
}

PyObject *channel_submit(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    unsigned long long task, kind, function, code, first = 0, end = 1;
    if ((count != 7 && count != 9) || !PyDict_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "submit(entry, open, number, kind, function, code, "
                                         "payload, first, end)");
        return NULL;
    }
    if (!self->block || self->released)
        Py_RETURN_FALSE; /* it comes too late */
    if (unsigned_argument(args[2], &task) < 0 || unsigned_argument(args[3], &kind) < 0 ||
        unsigned_argument(args[4], &function) < 0 || unsigned_argument(args[5], &code) < 0)
        return NULL;
    if (count == 9 &&
        (unsigned_argument(args[7], &first) < 0 || unsigned_argument(args[8], &end) < 0))
        return NULL;
    if (first > end || end > PCN_MAX_ITEMS) {
        PyErr_Format(PyExc_ValueError, "items %llu to %llu: a record has at most %u", first, end,
                     PCN_MAX_ITEMS);
        return NULL;
    }
    struct pcn_arena *arena = family_arena();
    Py_buffer payload;
    if (!arena || !channel_is_parent(self) ||
        PyObject_GetBuffer(args[6], &payload, PyBUF_SIMPLE) < 0)
        return NULL;
    struct pcn_message message = {.task = task,
                                  .kind = (uint32_t)kind,
                                  .function = function,
                                  .code = (uint32_t)code,
                                  .length = (uint64_t)payload.len,
                                  .first = (uint32_t)first,
                                  .end = (uint32_t)end};
    uint64_t position = 0;
    enum pcn_status status =
        send_entry(self, arena, args[1], args[2], args[0], &message, payload.buf, &position);
    PyBuffer_Release(&payload);
    if (status == PCN_FULL)
        Py_RETURN_FALSE;
    if (status == PCN_OK && note_block(args[0], message.block) == 0)
        return PyLong_FromUnsignedLongLong(position + 1);
    return PyErr_Occurred() ? NULL : raise_status(status);
}

/* Two integers of a tuple: the function's number and code. */
static int both_numbers(PyObject *sent, unsigned long long *function, unsigned long long *code)
{
    if (!PyTuple_Check(sent) || PyTuple_Size(sent) != 2) {
        PyErr_SetString(PyExc_TypeError, "a published function is two numbers");
        return -1;
    }
    return unsigned_argument(PyTuple_GetItem(sent, 0), function) < 0 ||
                   unsigned_argument(PyTuple_GetItem(sent, 1), code) < 0
               ? -1
               : 0;
}

/* Bytes; False: there is something large in them; None: they are not simply pickled. */
static PyObject *pickled_arguments(PyObject *arguments)
{
    PyObject *payload = quick_pickle(arguments);
    if (payload == Py_None) {
        Py_DECREF(payload);
        Py_RETURN_FALSE;
    }
    if (payload || !is_pickles_refusal())
        return payload;
    PyErr_Clear(); /* who takes the longer way is told again */
    Py_RETURN_NONE;
}

/* It has been pickled, and is small. 1: it is sent; 0: nothing is done; -1. */
static int call_now(Channel *self, PyObject *const *args, PyObject *payload)
{
    unsigned long long task, function, code;
    if (both_numbers(args[3], &function, &code) < 0)
        return -1;
    PyObject *number = PyObject_CallNoArgs(args[2]);
    if (!number)
        return -1;
    struct pcn_arena *arena = family_arena();
    uint64_t position = 0;
    int outcome = -1;
    if (arena && channel_is_parent(self) && unsigned_argument(number, &task) == 0 &&
        entry_set(args[0], ENTRY_NUMBER, Py_NewRef(number)) == 0 &&
        entry_set(args[0], ENTRY_KIND, PyLong_FromLong(0)) == 0 &&
        entry_set(args[0], ENTRY_SENT, Py_NewRef(args[3])) == 0 &&
        entry_set(args[0], ENTRY_PAYLOAD, Py_NewRef(payload)) == 0) {
        struct pcn_message message = {.task = task,
                                      .function = function,
                                      .code = (uint32_t)code,
                                      .length = (uint64_t)PyBytes_Size(payload),
                                      .end = 1};
        /* Asked last: what was called until here may have ended the pool. */
        enum pcn_status status = PCN_FULL;
        if (self->block && !self->released)
            status = send_entry(self, arena, args[1], number, args[0], &message,
                                PyBytes_AsString(payload), &position);
        if (status == PCN_FULL)
            outcome = 0;
        else if (status != PCN_OK) {
            if (!PyErr_Occurred())
                raise_status(status);
        } else if (note_block(args[0], 0) == 0 &&
                   entry_set(args[0], ENTRY_POSITION,
                             PyLong_FromUnsignedLongLong(position + 1)) == 0)
            outcome = 1;
    }
    Py_DECREF(number);
    return outcome;
}

PyObject *channel_call(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 5 || !PyDict_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "call(entry, open, next_number, sent, arguments)");
        return NULL;
    }
    PyObject *payload = pickled_arguments(args[4]);
    if (!payload || !PyBytes_Check(payload) ||
        PyBytes_Size(payload) > (Py_ssize_t)PCN_INLINE_LIMIT)
        return payload;
    int outcome = call_now(self, args, payload);
    if (outcome == 0)
        return payload;
    Py_DECREF(payload);
    if (outcome < 0)
        return NULL;
    Py_RETURN_TRUE;
}
