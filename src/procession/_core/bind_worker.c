/* Channel, the worker's side: take a seat, claim, answer.
 *
 * A task may fork, and the child may return from the task's function. It then is where its parent
 * is, in the worker's loop, and would answer in its place: so it ends instead. */
#include "bind_channel.h"

#include <string.h>
#include <unistd.h>

#include "bind_apart.h"
#include "bind_memory.h"

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

PyObject *claimed(struct pcn_arena *arena, const Channel *self, const struct pcn_message *message)
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

int claim_next(Channel *self, struct pcn_arena *arena, struct pcn_message *message)
{
    if (end_if_forked(self) < 0 || !channel_is_open(self))
        return -1;
    uint64_t step = STEP_NS;
    for (;;) {
        enum pcn_status status =
            pcn_channel_claim(arena, self->channel, self->worker, message, self->scratch, false);
        if (status == PCN_OK)
            return 1;
        if (status == PCN_CLOSED)
            return 0;
        Py_BEGIN_ALLOW_THREADS
        if (status == PCN_BUSY)
            status = pcn_channel_claim(arena, self->channel, self->worker, message,
                                       self->scratch, true);
        else if (pcn_channel_wait_work(arena, self->channel, self->worker, step) == PCN_TIMEOUT &&
                 step < LONGEST_STEP_NS)
            step *= 2; /* an idle pool costs next to nothing */
        Py_END_ALLOW_THREADS
        if (status == PCN_OK)
            return 1;
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
}

PyObject *channel_claim(Channel *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_arena *arena = family_arena();
    struct pcn_message message;
    int got = arena ? claim_next(self, arena, &message) : -1;
    if (got == 0)
        Py_RETURN_NONE;
    return got < 0 ? NULL : claimed(arena, self, &message);
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

/* Who answers, and how long after the claim. */
static void sign(const Channel *self, struct pcn_message *message)
{
    message->worker = self->worker;
    message->function =
        pcn_now_ns() - pcn_load_relaxed64(&self->channel->claims[self->worker].since);
}

/* The ring is full: nobody collects, so the supervisor must. -1 if a signal handler raised. */
static int wait_for_room(const Channel *self, uint64_t length)
{
    tell_supervisor(self);
    Py_BEGIN_ALLOW_THREADS
    pcn_channel_wait_room(self->channel, length, STEP_NS);
    Py_END_ALLOW_THREADS
    return PyErr_CheckSignals();
}

/* Publish what lies in a block of ours, as send_result() does. */
static int send_block(const Channel *self, struct pcn_arena *arena, struct pcn_message *message)
{
    for (;;) {
        enum pcn_status status =
            pcn_channel_answer_block(arena, self->channel, message, false);
        if (status == PCN_BUSY) {
            Py_BEGIN_ALLOW_THREADS
            status = pcn_channel_answer_block(arena, self->channel, message, true);
            Py_END_ALLOW_THREADS
        }
        if (status == PCN_OK)
            return 0;
        if (wait_for_room(self, message->length) < 0) {
            free_block(arena, message->block);
            return -1;
        }
    }
}

static void cry(const void *who)
{
    tell_supervisor(who);
}

/* Where there is no room, it may be for results that nobody collects. */
static int block_for_result(const Channel *self, struct pcn_arena *arena, uint64_t length,
                            pcn_block_id *block)
{
    const struct crier crier = {cry, self};
    return allocate_crying(arena, PCN_FOR_RESULTS, length, UINT64_MAX, crier, block);
}

/* Large ones are copied once, with the GIL let go. */
static int send_large(const Channel *self, struct pcn_arena *arena, struct pcn_message *message,
                      const struct pcn_part *parts, uint32_t count, uint64_t length)
{
    if (block_for_result(self, arena, length, &message->block) < 0)
        return -1;
    uint8_t *to = pcn_block_bytes(arena, message->block);
    Py_BEGIN_ALLOW_THREADS
    for (uint32_t i = 0; i < count; i++) {
        if (parts[i].length)
            memcpy(to, parts[i].bytes, parts[i].length);
        to += parts[i].length;
    }
    Py_END_ALLOW_THREADS
    return send_block(self, arena, message);
}

int send_result(const Channel *self, struct pcn_arena *arena, struct pcn_message *message,
                const struct pcn_part *parts, uint32_t count)
{
    uint64_t length = 0;
    for (uint32_t i = 0; i < count; i++)
        length += parts[i].length;
    sign(self, message);
    if (length > PCN_INLINE_LIMIT)
        return send_large(self, arena, message, parts, count, length);
    bool wait = false;
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
        wait = true;
        if (status == PCN_FULL && wait_for_room(self, length) < 0)
            return -1;
    }
}

int send_apart(const Channel *self, struct pcn_arena *arena, struct pcn_message *message,
               const struct apart *apart)
{
    sign(self, message);
    if (block_for_result(self, arena, apart->size, &message->block) < 0)
        return -1;
    apart_write(arena, apart, message->block);
    message->kind |= PCN_APART;
    return send_block(self, arena, message);
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

static int answer(const Channel *self, struct pcn_arena *arena, struct pcn_message *message,
                  PyObject *payload)
{
    Py_buffer view;
    if (PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE) < 0)
        return -1;
    const struct pcn_part part = {view.buf, (uint64_t)view.len};
    if (message->task != 0)
        answer_range(self, message);
    int failed = send_result(self, arena, message, &part, 1);
    PyBuffer_Release(&view);
    return failed;
}

static int answer_apart(Channel *self, struct pcn_arena *arena, struct pcn_message *message,
                        PyObject *body, PyObject *parts)
{
    struct apart apart;
    if (apart_hold(&apart, body, parts) < 0)
        return -1;
    if (message->task != 0)
        answer_range(self, message);
    int failed = send_apart(self, arena, message, &apart);
    apart_release(&apart);
    return failed;
}

int answer_task(const Channel *self, struct pcn_arena *arena, uint64_t task, uint32_t kind,
                PyObject *payload)
{
    struct pcn_message message = {.task = task, .kind = kind};
    if (answer(self, arena, &message, payload) < 0)
        return -1;
    end_claim(self);
    return 0;
}

PyObject *channel_answer(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    unsigned long long task, kind;
    if (count != 3 && count != 4) {
        PyErr_SetString(PyExc_TypeError, "answer(number, kind, payload, parts=())");
        return NULL;
    }
    if (end_if_forked(self) < 0)
        return NULL;
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_open(self) || unsigned_argument(args[0], &task) < 0 ||
        unsigned_argument(args[1], &kind) < 0)
        return NULL;
    Py_ssize_t parts = count == 4 ? PySequence_Size(args[3]) : 0;
    if (parts < 0)
        return NULL;
    struct pcn_message message = {.task = task, .kind = (uint32_t)kind};
    int failed = parts ? answer_apart(self, arena, &message, args[2], args[3])
                       : answer(self, arena, &message, args[2]);
    if (failed)
        return NULL;
    if (task != 0)
        end_claim(self);
    Py_RETURN_NONE;
}
