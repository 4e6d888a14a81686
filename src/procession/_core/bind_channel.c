#include "binding.h"

#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "platform.h"
#include "recover.h"
#include "validate.h"

#define COLLECT_ROOM (8 * PCN_INLINE_LIMIT)

typedef struct {
    PyObject_HEAD
    struct pcn_channel *channel;
    pcn_block_id block;   /* that the channel lies in; 0 once released */
    int supervisor;       /* eventfd to write to when a result needs the supervisor */
    uint32_t worker;      /* our seat, if we are a worker */
    uint32_t pokes_seen;
    uint64_t payload_limit;
    uint8_t *scratch;     /* PCN_INLINE_LIMIT for a claim, COLLECT_ROOM for a collection */
} Channel;

static int is_open(Channel *self)
{
    if (self->block)
        return 1;
    PyErr_SetString(PyExc_ValueError, "this channel has been released");
    return 0;
}

static int unsigned_argument(PyObject *argument, unsigned long long *value)
{
    *value = PyLong_AsUnsignedLongLong(argument);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *channel_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"workers", "tasks", "results", "cores", "supervisor", NULL};
    unsigned int workers, cores;
    unsigned long long tasks, results;
    int supervisor;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "IKKIi", names, &workers, &tasks, &results,
                                     &cores, &supervisor))
        return NULL;
    if (workers == 0 || workers > PCN_MAX_WORKERS || tasks & (tasks - 1) ||
        results & (results - 1) || tasks < 4 * PCN_INLINE_LIMIT ||
        results < 4 * PCN_INLINE_LIMIT) {
        PyErr_Format(PyExc_ValueError,
                     "a channel has 1 to %u workers and rings of a power of two of at least %u "
                     "bytes, not %u, %llu and %llu",
                     PCN_MAX_WORKERS, 4 * PCN_INLINE_LIMIT, workers, tasks, results);
        return NULL;
    }
    struct pcn_arena *arena = family_arena();
    if (!arena)
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Channel *self = (Channel *)allocate(type, 0);
    if (!self)
        return NULL;
    self->supervisor = supervisor;
    self->scratch = PyMem_Malloc(COLLECT_ROOM);
    if (!self->scratch) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    enum pcn_status status;
    pcn_block_id block;
    Py_BEGIN_ALLOW_THREADS
    status = pcn_block_allocate(arena, pcn_channel_size(workers, tasks, results), &block, true);
    Py_END_ALLOW_THREADS
    if (status != PCN_OK) {
        Py_DECREF(self);
        return raise_status(status);
    }
    self->block = block;
    self->channel = pcn_channel_init(arena, pcn_block_offset(arena, block), workers, tasks,
                                     results, cores);
    return (PyObject *)self;
}

static void channel_dealloc(Channel *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyMem_Free(self->scratch);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *channel_release(Channel *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_arena *arena = family_arena();
    if (!arena)
        return NULL;
    if (self->block && self->channel->parent == arena->me) {
        pcn_block_id block = self->block;
        self->block = 0;
        Py_BEGIN_ALLOW_THREADS
        pcn_block_free(arena, block, true, true);
        Py_END_ALLOW_THREADS
    }
    self->block = 0;
    Py_RETURN_NONE;
}

/* ---- the parent's side ---- */

static PyObject *channel_submit(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    unsigned long long task, kind, function, code;
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "submit(task, kind, function, code, payload)");
        return NULL;
    }
    if (!is_open(self) || unsigned_argument(args[0], &task) < 0 ||
        unsigned_argument(args[1], &kind) < 0 || unsigned_argument(args[2], &function) < 0 ||
        unsigned_argument(args[3], &code) < 0)
        return NULL;
    struct pcn_arena *arena = family_arena();
    Py_buffer payload;
    if (!arena || PyObject_GetBuffer(args[4], &payload, PyBUF_SIMPLE) < 0)
        return NULL;
    struct pcn_message message = {.task = task,
                                  .kind = (uint32_t)kind,
                                  .function = function,
                                  .code = (uint32_t)code,
                                  .length = (uint64_t)payload.len};
    enum pcn_status status = PCN_BUSY;
    if (message.length <= PCN_INLINE_LIMIT)
        status = pcn_channel_submit(arena, self->channel, &message, payload.buf, false);
    if (status == PCN_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        status = pcn_channel_submit(arena, self->channel, &message, payload.buf, true);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&payload);
    if (status == PCN_FULL)
        return PyLong_FromLong(-1);
    if (status != PCN_OK)
        return raise_status(status);
    return PyLong_FromUnsignedLong(message.block);
}

static PyObject *payload_of(struct pcn_arena *arena, const struct pcn_message *message,
                            const void *inlined)
{
    if (message->block)
        return PyMemoryView_FromMemory((char *)pcn_block_bytes(arena, message->block),
                                       (Py_ssize_t)message->length, PyBUF_READ);
    return PyBytes_FromStringAndSize(inlined, (Py_ssize_t)message->length);
}

static PyObject *result_tuple(struct pcn_arena *arena, const struct pcn_message *message,
                              const void *inlined)
{
    PyObject *payload = payload_of(arena, message, inlined);
    PyObject *tuple = payload ? PyTuple_New(6) : NULL;
    if (!tuple) {
        Py_XDECREF(payload);
        return NULL;
    }
    PyTuple_SetItem(tuple, 0, PyLong_FromUnsignedLongLong(message->task));
    PyTuple_SetItem(tuple, 1, PyLong_FromUnsignedLong(message->kind));
    PyTuple_SetItem(tuple, 2, PyLong_FromUnsignedLong(message->worker));
    PyTuple_SetItem(tuple, 3, PyLong_FromUnsignedLongLong(message->function));
    PyTuple_SetItem(tuple, 4, payload);
    PyTuple_SetItem(tuple, 5, PyLong_FromUnsignedLong(message->block));
    return tuple;
}

static PyObject *channel_collect(Channel *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_arena *arena = family_arena();
    if (!arena || !is_open(self))
        return NULL;
    PyObject *list = PyList_New(0);
    if (!list)
        return NULL;
    uint64_t used;
    enum pcn_status status =
        pcn_channel_collect(arena, self->channel, self->scratch, COLLECT_ROOM, &used, false);
    if (status == PCN_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        status =
            pcn_channel_collect(arena, self->channel, self->scratch, COLLECT_ROOM, &used, true);
        Py_END_ALLOW_THREADS
    }
    for (uint64_t at = 0; at < used;) {
        struct pcn_message message;
        memcpy(&message, self->scratch + at, sizeof message);
        PyObject *tuple = result_tuple(arena, &message, self->scratch + at + sizeof message);
        if (!tuple || PyList_Append(list, tuple) < 0) {
            Py_XDECREF(tuple);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(tuple);
        uint64_t length = sizeof message + (message.block ? 0 : message.length);
        at += (length + 7u) & ~(uint64_t)7u;
    }
    return list;
}

static PyObject *channel_wait_news(Channel *self, PyObject *timeout)
{
    uint64_t left;
    if (!is_open(self) || timeout_argument(timeout, &left) < 0)
        return NULL;
    uint64_t began = left == UINT64_MAX ? 0 : pcn_now_ns();
    uint64_t span = left;
    for (;;) {
        enum pcn_status status;
        Py_BEGIN_ALLOW_THREADS
        status = pcn_channel_wait_news(self->channel, &self->pokes_seen,
                                       left < STEP_NS ? left : STEP_NS);
        Py_END_ALLOW_THREADS
        if (status == PCN_OK)
            Py_RETURN_TRUE;
        if (PyErr_CheckSignals() < 0)
            return NULL;
        if (!is_open(self))
            return NULL;
        if (span != UINT64_MAX) {
            uint64_t gone = pcn_now_ns() - began;
            if (gone >= span)
                Py_RETURN_FALSE;
            left = span - gone;
        }
    }
}

static PyObject *channel_poke(Channel *self, PyObject *ignored)
{
    (void)ignored;
    if (!is_open(self))
        return NULL;
    pcn_channel_poke(self->channel);
    Py_RETURN_NONE;
}

static PyObject *channel_close(Channel *self, PyObject *ignored)
{
    (void)ignored;
    if (!is_open(self))
        return NULL;
    pcn_channel_close(self->channel);
    Py_RETURN_NONE;
}

static PyObject *channel_ask_attention(Channel *self, PyObject *ignored)
{
    (void)ignored;
    if (!is_open(self))
        return NULL;
    pcn_store_relaxed32(&self->channel->attention, 1);
    /* A result that was published before the flag was seen needs no report: the caller
     * looks once more. SYNC(channel.attention) */
    pcn_fence_seq_cst();
    return PyBool_FromLong(pcn_ring_has_records(&self->channel->results));
}

static PyObject *channel_bury(Channel *self, PyObject *worker)
{
    unsigned long long seat;
    struct pcn_arena *arena = family_arena();
    if (!arena || !is_open(self) || unsigned_argument(worker, &seat) < 0)
        return NULL;
    if (seat >= self->channel->workers) {
        PyErr_Format(PyExc_ValueError, "there is no seat %llu", seat);
        return NULL;
    }
    struct pcn_remains remains;
    Py_BEGIN_ALLOW_THREADS
    remains = pcn_channel_bury(arena, self->channel, (uint32_t)seat);
    if (remains.token)
        pcn_block_reclaim(arena, remains.token);
    pcn_recover_all(arena);
    Py_END_ALLOW_THREADS
    if (!remains.claimed)
        Py_RETURN_NONE;
    return Py_BuildValue("(KOK)", (unsigned long long)remains.task,
                         remains.started ? Py_True : Py_False, (unsigned long long)remains.item);
}

static PyObject *channel_publish(Channel *self, PyObject *bytes)
{
    struct pcn_arena *arena = family_arena();
    Py_buffer content;
    if (!arena || !is_open(self) || PyObject_GetBuffer(bytes, &content, PyBUF_SIMPLE) < 0)
        return NULL;
    pcn_block_id block;
    enum pcn_status status;
    Py_BEGIN_ALLOW_THREADS
    status = pcn_block_allocate(arena, (uint64_t)content.len, &block, true);
    if (status == PCN_OK)
        memcpy(pcn_block_bytes(arena, block), content.buf, (size_t)content.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&content);
    return status == PCN_OK ? PyLong_FromUnsignedLong(block) : raise_status(status);
}

static PyObject *channel_free(Channel *self, PyObject *argument)
{
    (void)self;
    unsigned long long block;
    struct pcn_arena *arena = family_arena();
    if (!arena || unsigned_argument(argument, &block) < 0)
        return NULL;
    if (block && pcn_block_free(arena, (pcn_block_id)block, false, false) == PCN_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        pcn_block_free(arena, (pcn_block_id)block, false, true);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

static PyObject *channel_seat(Channel *self, PyObject *worker)
{
    unsigned long long seat;
    if (!is_open(self) || unsigned_argument(worker, &seat) < 0)
        return NULL;
    if (seat >= self->channel->workers) {
        PyErr_Format(PyExc_ValueError, "there is no seat %llu", seat);
        return NULL;
    }
    struct pcn_claim *claim = &self->channel->claims[seat];
    return Py_BuildValue("(OKKK)", pcn_load_relaxed32(&claim->busy) ? Py_True : Py_False,
                         (unsigned long long)pcn_load_relaxed64(&claim->task),
                         (unsigned long long)pcn_load_relaxed64(&claim->item),
                         (unsigned long long)pcn_load_relaxed64(&claim->token));
}

static PyObject *channel_validate(Channel *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_arena *arena = family_arena();
    if (!arena || !is_open(self))
        return NULL;
    const char *wrong = pcn_validate_channel(arena, self->channel);
    if (!wrong)
        Py_RETURN_NONE;
    return PyUnicode_FromString(wrong);
}

/* ---- the worker's side ---- */

static PyObject *channel_sit(Channel *self, PyObject *worker)
{
    unsigned long long seat;
    struct pcn_arena *arena = family_arena();
    if (!arena || !is_open(self) || unsigned_argument(worker, &seat) < 0)
        return NULL;
    if (seat >= self->channel->workers) {
        PyErr_Format(PyExc_ValueError, "there is no seat %llu", seat);
        return NULL;
    }
    self->worker = (uint32_t)seat;
    pcn_channel_sit(arena, self->channel, self->worker);
    Py_RETURN_NONE;
}

static PyObject *channel_claim(Channel *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_arena *arena = family_arena();
    if (!arena || !is_open(self))
        return NULL;
    struct pcn_message message;
    enum pcn_status status;
    for (;;) {
        status = pcn_channel_claim(arena, self->channel, self->worker, &message, self->scratch,
                                   false);
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
    PyObject *payload = payload_of(arena, &message, self->scratch);
    if (!payload)
        return NULL;
    return Py_BuildValue("(KIKIN)", (unsigned long long)message.task, message.kind,
                         (unsigned long long)message.function, message.code, payload);
}

static PyObject *channel_fetch(Channel *self, PyObject *code)
{
    unsigned long long block;
    struct pcn_arena *arena = family_arena();
    if (!arena || !is_open(self) || unsigned_argument(code, &block) < 0)
        return NULL;
    return PyBytes_FromStringAndSize((char *)pcn_block_bytes(arena, (pcn_block_id)block),
                                     (Py_ssize_t)pcn_block_length(arena, (pcn_block_id)block));
}

static void tell_supervisor(Channel *self)
{
    const uint64_t one = 1;
    ssize_t ignored = write(self->supervisor, &one, sizeof one);
    (void)ignored; /* the eventfd is full only if it was told already */
}

static PyObject *channel_answer(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    unsigned long long task, kind, nanoseconds;
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "answer(task, kind, nanoseconds, payload)");
        return NULL;
    }
    struct pcn_arena *arena = family_arena();
    if (!arena || !is_open(self) || unsigned_argument(args[0], &task) < 0 ||
        unsigned_argument(args[1], &kind) < 0 || unsigned_argument(args[2], &nanoseconds) < 0)
        return NULL;
    Py_buffer payload;
    if (PyObject_GetBuffer(args[3], &payload, PyBUF_SIMPLE) < 0)
        return NULL;
    struct pcn_message message = {.task = task,
                                  .kind = (uint32_t)kind,
                                  .worker = self->worker,
                                  .function = nanoseconds,
                                  .length = (uint64_t)payload.len};
    bool wait = message.length > PCN_INLINE_LIMIT;
    bool attention;
    enum pcn_status status;
    for (;;) {
        if (wait) {
            Py_BEGIN_ALLOW_THREADS
            status = pcn_channel_answer(arena, self->channel, &message, payload.buf, true,
                                        &attention);
            Py_END_ALLOW_THREADS
        } else {
            status = pcn_channel_answer(arena, self->channel, &message, payload.buf, false,
                                        &attention);
        }
        if (attention)
            tell_supervisor(self);
        if (status == PCN_OK || status == PCN_NO_MEMORY)
            break;
        wait = true;
        if (status == PCN_FULL) {
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
    Py_RETURN_NONE;
}

static PyObject *channel_done(Channel *self, PyObject *ignored)
{
    (void)ignored;
    if (!is_open(self))
        return NULL;
    pcn_channel_done(self->channel, self->worker);
    Py_RETURN_NONE;
}

static PyObject *channel_run(Channel *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !PyIter_Check(args[0]) || !PyList_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "run(iterator, results list)");
        return NULL;
    }
    if (!is_open(self))
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

#define METHOD(name, flags, doc) {#name, (PyCFunction)(void (*)(void))channel_##name, flags, doc}

static PyMethodDef channel_methods[] = {
    METHOD(release, METH_NOARGS, "release(): free the channel's memory; nobody may use it any more."),
    METHOD(submit, METH_FASTCALL,
           "submit(task, kind, function, code, payload): send a task; the block that holds a "
           "large payload (0: none), or -1 when the ring is full."),
    METHOD(collect, METH_NOARGS,
           "collect(): what was answered: (task, kind, worker, nanoseconds, payload, block) "
           "each; a block is to be freed after its payload was read."),
    METHOD(wait_news, METH_O, "wait_news(timeout): wait for results or a poke; False: time is up."),
    METHOD(poke, METH_NOARGS, "poke(): make a thread in wait_news() return."),
    METHOD(close, METH_NOARGS, "close(): no more tasks; workers leave when none is left."),
    METHOD(ask_attention, METH_NOARGS,
           "ask_attention(): have the next answer reported to the supervisor; whether results "
           "are waiting already."),
    METHOD(bury, METH_O,
           "bury(worker): free a dead worker's seat; (task, started, item) it held, or None."),
    METHOD(publish, METH_O, "publish(bytes): put bytes in a block; its id."),
    METHOD(free, METH_O, "free(block)"),
    METHOD(seat, METH_O, "seat(worker): (busy, task, item, token)"),
    METHOD(validate, METH_NOARGS, "validate(): None, or what is wrong."),
    METHOD(sit, METH_O, "sit(worker): take a seat."),
    METHOD(claim, METH_NOARGS,
           "claim(): wait for a task: (task, kind, function, code, payload); None when closed."),
    METHOD(fetch, METH_O, "fetch(code): the bytes of a published block."),
    METHOD(answer, METH_FASTCALL, "answer(task, kind, nanoseconds, payload): publish a result."),
    METHOD(done, METH_NOARGS, "done(): the claim is answered."),
    METHOD(run, METH_FASTCALL,
           "run(iterator, results): exhaust the iterator into the list, keeping the claim's item."),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot channel_slots[] = {
    {Py_tp_new, channel_new},
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_methods, channel_methods},
    {Py_tp_doc, "Channel(workers, tasks, results, cores, supervisor): a pool's rings and claims."},
    {0, NULL},
};

PyType_Spec channel_spec = {
    .name = "procession._core.binding.Channel",
    .basicsize = sizeof(Channel),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = channel_slots,
};
