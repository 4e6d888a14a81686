/* Channel, the worker's side: take a seat, claim, answer.
 *
 * A task may fork, and the child may return from the task's function. It then is where its parent
 * is, in the worker's loop, and would answer in its place: so it ends instead. */
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
    self->seated = true;
    self->generation = family_generation();
    pcn_channel_sit(arena, self->channel, seat);
    Py_RETURN_NONE;
}

int end_if_forked(const Channel *self)
{
    if (!is_fork_of_worker(self))
        return 0;
    PyErr_SetNone(PyExc_SystemExit);
    return -1;
}

PyObject *channel_forked(Channel *self, PyObject *ignored)
{
    (void)ignored;
    return PyBool_FromLong(is_fork_of_worker(self));
}

static PyObject *claimed(struct pcn_arena *arena, const Channel *self,
                         const struct pcn_message *message)
{
    PyObject *payload =
        message->block
            ? PyMemoryView_FromMemory((char *)pcn_block_bytes(arena, message->block),
                                      (Py_ssize_t)message->length, PyBUF_READ)
            : PyBytes_FromStringAndSize((char *)self->scratch, (Py_ssize_t)message->length);
    PyObject *tuple = payload ? PyTuple_New(7) : NULL;
    if (!tuple) {
        Py_XDECREF(payload);
        return NULL;
    }
    PyTuple_SetItem(tuple, 0, PyLong_FromUnsignedLongLong(message->task));
    PyTuple_SetItem(tuple, 1, PyLong_FromUnsignedLong(message->kind));
    PyTuple_SetItem(tuple, 2, PyLong_FromUnsignedLongLong(message->function));
    PyTuple_SetItem(tuple, 3, PyLong_FromUnsignedLong(message->code));
    PyTuple_SetItem(tuple, 4, payload);
    PyTuple_SetItem(tuple, 5, PyLong_FromUnsignedLong(message->first));
    PyTuple_SetItem(tuple, 6, PyLong_FromUnsignedLong(message->end));
    return tuple;
}

/* A lost wake-up is mended by whoever buries the dead one that lost it; this is for the rest. */
#define LONGEST_STEP_NS (16 * (uint64_t)STEP_NS)

PyObject *channel_claim(Channel *self, PyObject *ignored)
{
    (void)ignored;
    if (end_if_forked(self) < 0)
        return NULL;
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_open(self))
        return NULL;
    struct pcn_message message;
    uint64_t step = STEP_NS;
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
        else if (pcn_channel_wait_work(arena, self->channel, self->worker, step) == PCN_TIMEOUT &&
                 step < LONGEST_STEP_NS)
            step *= 2; /* an idle pool costs next to nothing */
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

int send_result(const Channel *self, struct pcn_arena *arena, struct pcn_message *message,
                const struct pcn_part *parts, uint32_t count)
{
    uint64_t length = 0;
    for (uint32_t i = 0; i < count; i++)
        length += parts[i].length;
    message->worker = self->worker;
    message->function =
        pcn_now_ns() - pcn_load_relaxed64(&self->channel->claims[self->worker].since);
    bool wait = length > PCN_INLINE_LIMIT;
    for (;;) {
        enum pcn_status status;
        if (wait) {
            Py_BEGIN_ALLOW_THREADS
            status = pcn_channel_answer(arena, self->channel, message, parts, count, true);
            Py_END_ALLOW_THREADS
        } else {
            status = pcn_channel_answer(arena, self->channel, message, parts, count, false);
        }
        if (status == PCN_OK)
            return 0;
        if (status == PCN_NO_MEMORY) {
            raise_status(status);
            return -1;
        }
        wait = true;
        if (status == PCN_FULL) {
            tell_supervisor(self); /* nobody collects: it must */
            Py_BEGIN_ALLOW_THREADS
            pcn_channel_wait_room(self->channel, length, STEP_NS);
            Py_END_ALLOW_THREADS
            if (PyErr_CheckSignals() < 0)
                return -1;
        }
    }
}

void end_claim(const Channel *self)
{
    if (!pcn_channel_done(self->channel, self->worker))
        return;
    Py_BEGIN_ALLOW_THREADS
    pcn_claim_park(&self->channel->claims[self->worker]);
    Py_END_ALLOW_THREADS
}

/* What an answer to the whole claim answers: all that was not sent before. */
static void answer_range(const Channel *self, struct pcn_message *message)
{
    struct pcn_claim *claim = &self->channel->claims[self->worker];
    message->first = pcn_progress_of(pcn_load_relaxed64(&claim->done)).first;
    message->end = pcn_range_of(pcn_load_relaxed64(&claim->range)).end;
    if (message->end > 1) /* else a single call, or nothing: the parent takes none of it back */
        message->end = pcn_claim_take_all(claim);
}

PyObject *channel_answer(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    unsigned long long task, kind;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "answer(number, kind, payload)");
        return NULL;
    }
    if (end_if_forked(self) < 0)
        return NULL;
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_open(self) || unsigned_argument(args[0], &task) < 0 ||
        unsigned_argument(args[1], &kind) < 0)
        return NULL;
    Py_buffer payload;
    if (PyObject_GetBuffer(args[2], &payload, PyBUF_SIMPLE) < 0)
        return NULL;
    struct pcn_message message = {.task = task, .kind = (uint32_t)kind};
    const struct pcn_part part = {payload.buf, (uint64_t)payload.len};
    if (task != 0)
        answer_range(self, &message);
    int failed = send_result(self, arena, &message, &part, 1);
    PyBuffer_Release(&payload);
    if (failed)
        return NULL;
    if (task != 0)
        end_claim(self);
    Py_RETURN_NONE;
}
