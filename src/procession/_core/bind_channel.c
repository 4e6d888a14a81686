/* The type Channel: made, released, looked at. Its two sides stand in bind_parent.c and
 * bind_seats.c, and in bind_worker.c and bind_run.c. */
#include "bind_channel.h"

#include <errno.h>
#include <string.h>

#include "bind_memory.h"
#include "validate.h"

int channel_is_open(const Channel *self)
{
    if (self->block && !self->released)
        return 1;
    PyErr_SetString(PyExc_ValueError, "Pool not running"); /* as the standard library's */
    return 0;
}

static void free_memory(Channel *self)
{
    struct pcn_arena *arena = family_arena();
    pcn_block_id block = self->block;
    self->block = 0;
    if (!arena) {
        PyErr_Clear();
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    pcn_block_free(arena, block, true, true);
    Py_END_ALLOW_THREADS
}

PyTypeObject *channel_type;

int channel_is_parent(const Channel *self)
{
    if (channel_is_ours(self))
        return 1;
    PyErr_SetString(PyExc_ValueError, "this pool belongs to another process: the parent of this "
                                      "one made it. Make a pool in the process that uses it");
    return 0;
}

void channel_enter(Channel *self)
{
    self->inside++;
}

void channel_leave(Channel *self)
{
    self->inside--;
    if (self->released && self->inside == 0 && self->block)
        free_memory(self);
}

int unsigned_argument(PyObject *argument, unsigned long long *value)
{
    *value = PyLong_AsUnsignedLongLong(argument);
    return PyErr_Occurred() ? -1 : 0;
}

int seat_argument(const Channel *self, PyObject *argument, uint32_t *seat)
{
    unsigned long long number;
    if (!channel_is_open(self) || unsigned_argument(argument, &number) < 0)
        return -1;
    if (number >= self->channel->workers) {
        PyErr_Format(PyExc_ValueError, "there is no seat %llu", number);
        return -1;
    }
    *seat = (uint32_t)number;
    return 0;
}

static Channel *channel_allocate(PyTypeObject *type, int supervisor)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Channel *self = (Channel *)allocate(type, 0);
    if (!self)
        return NULL;
    self->supervisor = supervisor;
    self->scratch = PyMem_Malloc(COLLECT_ROOM);
    self->published = PyDict_New();
    self->append_name = PyUnicode_InternFromString("append");
    if (!self->scratch || !self->published || !self->append_name) {
        Py_DECREF(self);
        PyErr_NoMemory();
        return NULL;
    }
    return self;
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
    Channel *self = channel_allocate(type, supervisor);
    if (!self)
        return NULL;
    enum pcn_status status;
    pcn_block_id block;
    uint64_t size = pcn_channel_size(workers, tasks, results);
    Py_BEGIN_ALLOW_THREADS
    status = pcn_block_allocate(arena, size, &block, true);
    Py_END_ALLOW_THREADS
    if (status != PCN_OK) {
        int refused = errno;
        Py_DECREF(self);
        errno = refused;
        return status == PCN_NO_MEMORY && errno == EDQUOT ? raise_full(arena, size)
                                                          : raise_status(status);
    }
    self->block = block;
    self->made_in = family_generation();
    self->channel = pcn_channel_init(arena, pcn_block_offset(arena, block), workers, tasks,
                                     results, cores);
    return (PyObject *)self;
}

static PyObject *channel_attach(PyObject *type, PyObject *args)
{
    unsigned int block;
    int supervisor;
    if (!PyArg_ParseTuple(args, "Ii", &block, &supervisor))
        return NULL;
    struct pcn_arena *arena = family_arena();
    Channel *self = arena ? channel_allocate((PyTypeObject *)type, supervisor) : NULL;
    if (!self)
        return NULL;
    self->block = block;
    self->made_in = UINT64_MAX;
    self->channel = (struct pcn_channel *)(void *)pcn_block_bytes(arena, block);
    return (PyObject *)self;
}

static PyObject *channel_handle(Channel *self, PyObject *ignored)
{
    (void)ignored;
    if (!channel_is_open(self))
        return NULL;
    return Py_BuildValue("(Ii)", (unsigned)self->block, self->supervisor);
}

static void free_published(Channel *self, struct pcn_arena *arena)
{
    Py_ssize_t position = 0;
    PyObject *block, *ignored;
    while (PyDict_Next(self->published, &position, &block, &ignored))
        pcn_block_free(arena, (pcn_block_id)PyLong_AsUnsignedLong(block), false, true);
    PyDict_Clear(self->published);
}

/* Never released: whoever was about to use it was interrupted before any worker was there. */
static void release_quietly(Channel *self)
{
    if (!self->block || self->released)
        return;
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    struct pcn_arena *arena = family_arena();
    if (arena && channel_is_ours(self)) {
        free_published(self, arena);
        free_memory(self);
    }
    PyErr_Clear();
    PyErr_Restore(type, value, trace);
}

static void channel_dealloc(Channel *self)
{
    release_quietly(self);
    PyMem_Free(self->scratch);
    Py_XDECREF(self->published);
    Py_XDECREF(self->append_name);
    Py_XDECREF(self->map);
    Py_XDECREF(self->starmap);
    free_object((PyObject *)self);
}

static PyObject *channel_release(Channel *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_arena *arena = family_arena();
    if (!arena)
        return NULL;
    if (!self->block || self->released)
        Py_RETURN_NONE;
    if (!channel_is_ours(self)) {
        self->block = 0; /* a forked copy: the memory is the parent's */
        Py_RETURN_NONE;
    }
    self->released = true;
    channel_enter(self);
    free_published(self, arena);
    wake_all_waiters(self);
    channel_leave(self);
    Py_RETURN_NONE;
}

static PyObject *channel_publish(Channel *self, PyObject *bytes)
{
    struct pcn_arena *arena = family_arena();
    Py_buffer content;
    if (!arena || !channel_is_open(self) || PyObject_GetBuffer(bytes, &content, PyBUF_SIMPLE) < 0)
        return NULL;
    pcn_block_id block;
    enum pcn_status status;
    Py_BEGIN_ALLOW_THREADS
    status = pcn_block_allocate(arena, (uint64_t)content.len, &block, true);
    if (status == PCN_OK)
        memcpy(pcn_block_bytes(arena, block), content.buf, (size_t)content.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&content);
    if (status != PCN_OK)
        return raise_status(status);
    /* Noted here: an interrupt may come in before Python code can note what we return. */
    PyObject *number = NULL;
    if (channel_is_open(self)) /* it may have been released meanwhile */
        number = PyLong_FromUnsignedLong(block);
    if (!number || PyDict_SetItem(self->published, number, Py_None) < 0) {
        Py_CLEAR(number);
        pcn_block_free(arena, block, false, true);
    }
    return number;
}

static PyObject *channel_fetch(Channel *self, PyObject *argument)
{
    unsigned long long block;
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_open(self) || unsigned_argument(argument, &block) < 0)
        return NULL;
    return PyBytes_FromStringAndSize((char *)pcn_block_bytes(arena, (pcn_block_id)block),
                                     (Py_ssize_t)pcn_block_length(arena, (pcn_block_id)block));
}

static PyObject *channel_free(Channel *self, PyObject *argument)
{
    unsigned long long block;
    struct pcn_arena *arena = family_arena();
    if (!arena || unsigned_argument(argument, &block) < 0)
        return NULL;
    if (PyDict_GetItemWithError(self->published, argument) &&
        PyDict_DelItem(self->published, argument) < 0)
        return NULL;
    if (block && pcn_block_free(arena, (pcn_block_id)block, false, false) == PCN_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        pcn_block_free(arena, (pcn_block_id)block, false, true);
        Py_END_ALLOW_THREADS
    }
    Py_RETURN_NONE;
}

static PyObject *channel_validate(Channel *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_arena *arena = family_arena();
    if (!arena || !channel_is_open(self))
        return NULL;
    const char *wrong = pcn_validate_channel(arena, self->channel);
    if (!wrong)
        Py_RETURN_NONE;
    return PyUnicode_FromString(wrong);
}

static PyMethodDef channel_methods[] = {
    METHOD(release, METH_NOARGS,
           "release(): free what is published, and the channel's memory once the last thread has "
           "left it."),
    METHOD(attach, METH_VARARGS | METH_CLASS,
           "attach(block, supervisor): a worker's view of the channel with that handle."),
    METHOD(handle, METH_NOARGS,
           "handle(): (block, supervisor): what a worker that was not forked attaches to."),
    METHOD(publish, METH_O, "publish(bytes): put bytes in a block; its id."),
    METHOD(fetch, METH_O, "fetch(block): a block's content as bytes."),
    METHOD(free, METH_O, "free(block)"),
    METHOD(seat, METH_O, "seat(worker): (busy, number, item, token)"),
    METHOD(validate, METH_NOARGS, "validate(): None, or what is wrong."),
    METHOD(submit, METH_FASTCALL,
           "submit(entry, open, number, kind, function, code, payload, first=0, end=1): send a "
           "task, items [first, end) of its payload, and enter it in the dict `open`; entry.block "
           "becomes the block that holds a large payload, or 0. Its place in the ring, for "
           "revoke_at(), never 0; or False, and nothing done, when the ring is full or the "
           "channel released."),
    METHOD(collect, METH_FASTCALL,
           "collect(open, arrivals): hand out what was answered. An entry of the dict `open` "
           "whose `attend` is not True gets its attribute `answer` set to (kind, payload, "
           "nanoseconds), and is appended to `attend` if that is a deque; it leaves the dict. All "
           "else is appended to `arrivals`, as (entry or None, kind, payload, nanoseconds or "
           "seat, first, end); a part (kind & 0x100) does not leave the dict. A payload is bytes; "
           "what went apart is Memory or a bytearray: 8 bytes that say how long the body is, the "
           "body, and each buffer at the next multiple of 64. Where there is no memory for one, "
           "it is the MemoryError, and the kind 0x400, or 0x500 for that of a part; the kind of "
           "news stays."),
    METHOD(wait, METH_FASTCALL,
           "wait(entry, open, arrivals, timeout, wakes=now): collect until entry.answer is not None "
           "(True), time is up (False), or there is something to attend to (None): also at once, "
           "if somebody was woken since wakes() was asked."),
    METHOD(wakes, METH_NOARGS, "wakes(): how often wake() was called; see wait()."),
    METHOD(wake, METH_O, "wake(entry): have the threads that wait for it look again."),
    METHOD(close, METH_NOARGS, "close(): no more tasks; workers leave when none is left."),
    METHOD(seats, METH_NOARGS,
           "seats(): what is held, as a list of (seat, number, begun, end, done, since_ns, "
           "item_since_ns)."),
    METHOD(now_ns, METH_NOARGS, "now_ns(): the time by the clock of seats()."),
    METHOD(take_back, METH_FASTCALL,
           "take_back(seat, number, keep): (first, end) of the items that it had not begun and "
           "will not run, or None; at most `keep` of those not begun stay. Not from single calls."),
    METHOD(doom, METH_FASTCALL,
           "doom(seat, number, item or None): True if the worker is at that task, and item, and "
           "so can be killed: it begins nothing else until it is pardoned."),
    METHOD(pardon, METH_O, "pardon(seat): it goes on; see doom()."),
    METHOD(stop, METH_FASTCALL,
           "stop(seat, number, item=None): True if it is at that task, and item; stop_asked() says "
           "so there. Send a signal then."),
    METHOD(duty, METH_FASTCALL, "duty(seat, what): 0: serve, 1: sit on the bench, 2: leave."),
    METHOD(revoke, METH_O,
           "revoke(numbers): those of the set that were still in the ring: they are never run."),
    METHOD(revoke_at, METH_FASTCALL,
           "revoke_at(number, place): the same for one task whose place submit() told: whether it "
           "was still there. Costs the same however many others there are."),
    METHOD(bury, METH_O,
           "bury(seat): free a dead worker's seat; None, or what it held: (number, started, begun, "
           "end, done, area_first, outcomes of items [area_first, done))."),
    METHOD(sit, METH_O, "sit(seat): take a seat."),
    METHOD(claim, METH_NOARGS,
           "claim(): wait for a task: (number, kind, function, code, payload, first, end); None "
           "when the channel is closed, or this worker to leave. SystemExit in a fork of the "
           "worker, as from answer() and run()."),
    METHOD(serve, METH_FASTCALL,
           "serve(known, here, unfinished, encode, finish): run tasks that are calls of functions in "
           "the dict `known`, by number, with plain arguments, and answer them. `here.function` and "
           "`here.number` say what runs. encode(value, error) makes what answer() takes behind the "
           "number, for a call (error None: it returned) whose value is not plain; then, or if the "
           "set `unfinished` is not empty, finish(number, that) answers. Returns what claim() does "
           "for the first task that is none of these, which was not run; or True: after a while, "
           "or when modules were imported."),
    METHOD(forked, METH_NOARGS, "forked(): whether this is a fork of the worker, made by a task."),
    METHOD(alert, METH_NOARGS, "alert(): have the supervisor look around; with the GIL held."),
    METHOD(answer, METH_FASTCALL,
           "answer(number, kind, payload, parts=()): publish a result for all of the claimed range "
           "that was not sent yet; the claim is done then. Number 0 is news of the worker itself, "
           "from any of its threads. Parts are buffers that go apart: see collect()."),
    METHOD(run, METH_FASTCALL,
           "run(function, items, star, stop_at_error, timed, encode, encode_error): run the "
           "claimed range and answer it. `items` begins with the first one to run. encode(value) "
           "and encode_error(exception) make bytes; encode() may also return (body, parts): such "
           "an item is sent as a part of its own, its buffers apart: see collect(). What "
           "encode_error() raises is raised; the outcomes before that item are sent then."),
    METHOD(guarded, METH_FASTCALL,
           "guarded(function, args, kwds): function(*args, **kwds), which stop_asked() may stop."),
    METHOD(stop_asked, METH_NOARGS,
           "stop_asked(): whether a task runs and the parent asks this one to stop; told once."),
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
