/* Channel, the worker's side: take a seat, claim, run, answer. */
#include "bind_channel.h"

#include <unistd.h>

#include "platform.h"

PyObject *channel_sit(Channel *self, PyObject *worker)
{
    uint32_t seat;
    struct pcn_arena *arena = family_arena();
    if (!arena || seat_argument(self, worker, &seat) < 0)
        return NULL;
    self->worker = seat;
    pcn_channel_sit(arena, self->channel, seat);
    Py_RETURN_NONE;
}

static PyObject *claimed(struct pcn_arena *arena, const Channel *self,
                         const struct pcn_message *message)
{
    PyObject *payload =
        message->block
            ? PyMemoryView_FromMemory((char *)pcn_block_bytes(arena, message->block),
                                      (Py_ssize_t)message->length, PyBUF_READ)
            : PyBytes_FromStringAndSize((char *)self->scratch, (Py_ssize_t)message->length);
    PyObject *tuple = payload ? PyTuple_New(5) : NULL;
    if (!tuple) {
        Py_XDECREF(payload);
        return NULL;
    }
    PyTuple_SetItem(tuple, 0, PyLong_FromUnsignedLongLong(message->task));
    PyTuple_SetItem(tuple, 1, PyLong_FromUnsignedLong(message->kind));
    PyTuple_SetItem(tuple, 2, PyLong_FromUnsignedLongLong(message->function));
    PyTuple_SetItem(tuple, 3, PyLong_FromUnsignedLong(message->code));
    PyTuple_SetItem(tuple, 4, payload);
    return tuple;
}

PyObject *channel_claim(Channel *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_open(self))
        return NULL;
    struct pcn_message message;
    for (;;) {
        enum pcn_status status = pcn_channel_claim(arena, self->channel, self->worker, &message,
                                                   self->scratch, false);
        if (status == PCN_OK)
            break;
        if (status == PCN_CLOSED)
            Py_RETURN_NONE;
        Py_BEGIN_ALLOW_THREADS
        if (status == PCN_BUSY)
            status = pcn_channel_claim(arena, self->channel, self->worker, &message,
                                       self->scratch, true);
        else
            pcn_channel_wait_work(arena, self->channel, STEP_NS);
        Py_END_ALLOW_THREADS
        if (status == PCN_OK)
            break;
        if (PyErr_CheckSignals() < 0)
            return NULL;
    }
    return claimed(arena, self, &message);
}

static void tell_supervisor(const Channel *self)
{
    const uint64_t one = 1;
    ssize_t ignored = write(self->supervisor, &one, sizeof one);
    (void)ignored; /* the eventfd is full only if it was told already */
}

PyObject *channel_alert(Channel *self, PyObject *ignored)
{
    (void)ignored;
    tell_supervisor(self);
    Py_RETURN_NONE;
}

PyObject *channel_answer(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    unsigned long long task, kind;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "answer(task, kind, payload)");
        return NULL;
    }
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_open(self) || unsigned_argument(args[0], &task) < 0 ||
        unsigned_argument(args[1], &kind) < 0)
        return NULL;
    Py_buffer payload;
    if (PyObject_GetBuffer(args[2], &payload, PyBUF_SIMPLE) < 0)
        return NULL;
    uint64_t since = pcn_load_relaxed64(&self->channel->claims[self->worker].since);
    struct pcn_message message = {.task = task,
                                  .kind = (uint32_t)kind,
                                  .worker = self->worker,
                                  .function = pcn_now_ns() - since,
                                  .length = (uint64_t)payload.len};
    bool wait = message.length > PCN_INLINE_LIMIT;
    enum pcn_status status;
    for (;;) {
        if (wait) {
            Py_BEGIN_ALLOW_THREADS
            status = pcn_channel_answer(arena, self->channel, &message, payload.buf, true);
            Py_END_ALLOW_THREADS
        } else {
            status = pcn_channel_answer(arena, self->channel, &message, payload.buf, false);
        }
        if (status == PCN_OK || status == PCN_NO_MEMORY)
            break;
        wait = true;
        if (status == PCN_FULL) {
            tell_supervisor(self); /* nobody collects: it must */
            Py_BEGIN_ALLOW_THREADS
            pcn_channel_wait_room(self->channel, message.length, STEP_NS);
            Py_END_ALLOW_THREADS
            if (PyErr_CheckSignals() < 0) {
                PyBuffer_Release(&payload);
                return NULL;
            }
        }
    }
    PyBuffer_Release(&payload);
    if (status != PCN_OK)
        return raise_status(status);
    if (task != 0)
        pcn_channel_done(self->channel, self->worker);
    Py_RETURN_NONE;
}

PyObject *channel_run(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyIter_Check(args[0]) || !PyList_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "run(iterator, results list)");
        return NULL;
    }
    if (!channel_is_open(self))
        return NULL;
    pcn_atomic64 *item = &self->channel->claims[self->worker].item;
    PyObject *iterator = args[0];
    PyObject *results = args[1];
    for (uint64_t number = (uint64_t)PyList_Size(results);; number++) {
        pcn_store_relaxed64(item, number);
        PyObject *value = PyIter_Next(iterator);
        if (!value)
            break;
        int failed = PyList_Append(results, value);
        Py_DECREF(value);
        if (failed < 0)
            return NULL;
    }
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}
