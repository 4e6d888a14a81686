/* Channel, the parent's side: submit. (bind_fast_path.c does it for single calls.)
 *
 * What is sent is in the ring and in the ledger, or in neither: no Python code that a signal handler
 * could interrupt runs in between. */
#include "bind_channel.h"

#include "bind_entry.h"

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
