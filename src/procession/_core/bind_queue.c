/* The type Queue: made, closed, asked. Its two sides stand in bind_put.c and bind_get.c. */
#include "bind_queue.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bind_waits.h"
#include "platform.h"

#define YIELDS 16            /* before we rather sleep */
#define NAP_NS 200000u       /* while somebody keeps a lock for long: it was stopped, perhaps */

enum { LIMIT, JOINABLE, SIMPLE }; /* the handle's parameters */

static enum pcn_status set_queue_up(struct pcn_arena *arena, struct handle *handle)
{
    pcn_queue_init(handle_body(arena, handle), handle->parameters[LIMIT],
                   handle->parameters[JOINABLE] != 0);
    pcn_object_at(arena, handle->name.object)->size = handle->parameters[JOINABLE] != 0;
    return PCN_OK;
}

static void queue_forked(struct handle *handle)
{
    Queue *self = (Queue *)handle;
    self->closed = false; /* as the standard library's: closing is the parent's affair */
    self->signal = -1;
}

static const struct handle_kind queue_kind = {
    .kind = PCN_QUEUE, .set_up = set_queue_up, .forked = queue_forked};

static int raise_is_closed(Queue *self)
{
    if (self->handle.parameters[SIMPLE])
        PyErr_SetString(PyExc_OSError, "handle is closed");
    else
        PyErr_Format(PyExc_ValueError, "Queue %R is closed", self);
    return -1;
}

int queue_share(Queue *self, struct pcn_share *share, bool used)
{
    if (!self->handle.kind) {
        PyErr_SetString(PyExc_RuntimeError, "this queue was not initialised: a subclass must call "
                                            "super().__init__()");
        return -1;
    }
    share->arena = handle_arena(&self->handle);
    if (!share->arena)
        return -1;
    if (used && self->closed)
        return raise_is_closed(self);
    share->name = self->handle.name;
    share->queue = handle_body(share->arena, &self->handle);
    share->hold = handle_hold(share->arena, &self->handle);
    return 0;
}

int queue_deadline(PyObject *block, PyObject *timeout, uint64_t *deadline)
{
    uint64_t span = UINT64_MAX;
    int blocks = block ? PyObject_IsTrue(block) : 1;
    if (blocks < 0 || (blocks && timeout && timeout_argument(timeout, &span) < 0))
        return -1;
    if (!blocks || span == 0)
        *deadline = 0;
    else
        *deadline = span == UINT64_MAX ? UINT64_MAX : pcn_now_ns() + span;
    return 0;
}

uint64_t queue_patience(uint64_t deadline, uint64_t step)
{
    if (deadline == UINT64_MAX)
        return step;
    uint64_t now = deadline ? pcn_now_ns() : 0;
    if (now >= deadline)
        return 0;
    return deadline - now < step ? deadline - now : step;
}

int queue_give_way(unsigned *turns)
{
    pcn_atomic32 nothing = 0;
    bool yields = (*turns)++ < YIELDS;
    Py_BEGIN_ALLOW_THREADS
    if (yields)
        pcn_yield();
    else
        pcn_futex_wait(&nothing, 0, NAP_NS);
    Py_END_ALLOW_THREADS
    return PyErr_CheckSignals();
}

int queue_sleep(Queue *self, const struct pcn_share *share, uint32_t op, uint64_t deadline,
                uint64_t step,
                enum pcn_status (*wait)(const struct pcn_share *share, uint64_t timeout_ns))
{
    uint64_t span = queue_patience(deadline, step);
    if (span == 0)
        return 0; /* time is up: the caller looks once more */
    const char *place = place_of_caller(&self->handle);
    struct pcn_spot *spot = pcn_spot_mine(share->arena, this_thread());
    pcn_spot_stand(share->arena, spot, share->name, op | spot_op(deadline), place);
    Py_BEGIN_ALLOW_THREADS
    wait(share, span);
    Py_END_ALLOW_THREADS
    pcn_spot_leave(spot);
    return PyErr_CheckSignals(); /* in any case: one may have come before we slept */
}

static int place_of(const char *const *names, PyObject *keyword)
{
    for (int place = 0; names[place]; place++) {
        if (PyUnicode_CompareWithASCIIString(keyword, names[place]) == 0)
            return place;
    }
    return -1;
}

int queue_arguments(const char *function, const char *const *names, int needed,
                   PyObject *const *args, Py_ssize_t count, PyObject *keywords,
                   PyObject **values)
{
    int most = 0;
    while (names[most])
        most++;
    Py_ssize_t named = keywords ? PyTuple_Size(keywords) : 0;
    for (Py_ssize_t i = 0; i < count && i < most; i++)
        values[i] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *keyword = PyTuple_GetItem(keywords, i);
        int place = place_of(names, keyword);
        if (place < 0 || values[place]) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected or repeated argument %R",
                         function, keyword);
            return -1;
        }
        values[place] = args[count + i];
    }
    if (count > most || (needed && !values[needed - 1])) {
        PyErr_Format(PyExc_TypeError, "%s() takes %d to %d arguments, not %zd", function, needed,
                     most, count + named);
        return -1;
    }
    return 0;
}

/* ---- made, closed, asked ---- */

static PyObject *queue_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    (void)args; /* they are a subclass's __init__()'s */
    (void)keywords;
    Queue *self = (Queue *)PyType_GenericAlloc(type, 0);
    if (self)
        self->signal = -1;
    return (PyObject *)self;
}

static void queue_dealloc(PyObject *self)
{
    handle_drop((struct handle *)self);
    free_object(self);
}

static PyObject *queue_make(Queue *self, PyObject *args)
{
    long long limit;
    int joinable, simple;
    if (!PyArg_ParseTuple(args, "Lpp", &limit, &joinable, &simple))
        return NULL;
    if (self->handle.kind) {
        PyErr_SetString(PyExc_RuntimeError, "this queue was initialised already");
        return NULL;
    }
    self->handle.parameters[LIMIT] = limit > 0 ? (uint64_t)limit : 0;
    self->handle.parameters[JOINABLE] = (uint64_t)joinable;
    self->handle.parameters[SIMPLE] = (uint64_t)simple;
    if (handle_create(&self->handle, &queue_kind) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *queue_arrive(PyObject *self, PyObject *tuple)
{
    if (handle_arrive((struct handle *)self, &queue_kind, tuple) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *queue_close(Queue *self, PyObject *ignored)
{
    (void)ignored;
    self->closed = true;
    Py_RETURN_NONE;
}

static PyObject *queue_is_closed(Queue *self, PyObject *ignored)
{
    (void)ignored;
    return PyBool_FromLong(self->closed);
}

static PyObject *queue_qsize(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    if (queue_share(self, &share, false) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(pcn_queue_size(share.queue));
}

static PyObject *queue_empty(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    if (queue_share(self, &share, self->handle.parameters[SIMPLE] != 0) < 0)
        return NULL;
    return PyBool_FromLong(pcn_queue_size(share.queue) == 0);
}

static PyObject *queue_full(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    if (queue_share(self, &share, false) < 0)
        return NULL;
    return PyBool_FromLong(!pcn_queue_has_room(share.queue));
}

static PyObject *queue_limit(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    if (queue_share(self, &share, false) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(share.queue->limit);
}

/* ---- for who waits on it beside other things ---- */

static PyObject *queue_is_ready(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    if (queue_share(self, &share, false) < 0)
        return NULL;
    return PyBool_FromLong(pcn_queue_size(share.queue) != 0 ||
                           pcn_queue_is_closed(share.queue));
}

static PyObject *queue_await(Queue *self, PyObject *timeout)
{
    struct pcn_share share;
    uint64_t span;
    bool ready;
    if (queue_share(self, &share, false) < 0 || timeout_argument(timeout, &span) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pcn_queue_wait_items(&share, span < STEP_NS ? span : STEP_NS);
    ready = pcn_queue_has_items(share.queue) || pcn_queue_is_closed(share.queue);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(ready);
}

static PyObject *queue_poke(Queue *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_share share;
    if (queue_share(self, &share, false) < 0)
        return NULL;
    pcn_doorbell_broadcast(&share.queue->items);
    Py_RETURN_NONE;
}

static PyObject *queue_signal(Queue *self, PyObject *descriptor)
{
    long fd = PyLong_AsLong(descriptor);
    struct pcn_share share;
    if ((fd == -1 && PyErr_Occurred()) || queue_share(self, &share, false) < 0)
        return NULL;
    self->signal = (int)fd;
    if (fd < 0)
        Py_RETURN_NONE;
    /* With the GIL held: whoever takes the last item lowers it behind that. */
    uint64_t count = 1;
    bool ready = pcn_queue_has_items(share.queue) || pcn_queue_is_closed(share.queue);
    ssize_t done = ready ? write(self->signal, &count, sizeof count)
                         : read(self->signal, &count, sizeof count);
    if (done < 0 && errno != EAGAIN)
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyBool_FromLong(ready);
}

#define INNER(name, function, flags, doc)                                                   \
    {#name, (PyCFunction)(void (*)(void))queue_##function, flags, doc}

/* What both types have. */
#define SHARED_METHODS                                                                      \
    {"_travel", handle_travel_method, METH_NOARGS, "What is pickled of it, for arrive()."}, \
        {"_arrive", queue_arrive, METH_O, "Become a handle on what travelled."},            \
        INNER(_make, make, METH_VARARGS, "_make(limit, joinable, simple): become a queue."), \
        INNER(_close, close, METH_NOARGS, "_close(): this handle takes no more."),          \
        INNER(_is_closed, is_closed, METH_NOARGS, "_is_closed(): was _close() called?"),    \
        INNER(_is_ready, is_ready, METH_NOARGS, "_is_ready(): would get() return at once?"), \
        INNER(_await, await, METH_O,                                                        \
              "_await(timeout): sleep until it may be ready, or was poked; whether it is."), \
        INNER(_poke, poke, METH_NOARGS, "_poke(): wake all who sleep for objects."),        \
        INNER(_signal, signal, METH_O,                                                      \
              "_signal(fd): make the eventfd readable if the queue is ready, else not, and " \
              "keep it for get(); whether it is. -1: forget it."),                          \
        INNER(_validate, validate, METH_NOARGS, "_validate(): None, or what is wrong."),    \
        INNER(empty, empty, METH_NOARGS,                                                    \
              "empty($self, /)\n--\n\nWhether it is empty: exact at the moment of the call.")

static PyMethodDef queue_methods[] = {
    SHARED_METHODS,
    QUEUE_METHOD(put, METH_FASTCALL | METH_KEYWORDS,
                 "put($self, /, obj, block=True, timeout=None)\n--\n\n"
                 "Put an object in; it is there for good when this returns.\n\n"
                 "Args:\n"
                 "    block: wait while the queue is full.\n"
                 "    timeout: for at most so many seconds; None: as long as it takes.\n\n"
                 "Raises:\n"
                 "    Full: there was no room.\n"
                 "    ShutDown: the queue was shut down.\n"
                 "    ValueError: it was closed in this process.\n"
                 "    Exception: whatever pickling the object raised."),
    QUEUE_METHOD(put_nowait, METH_O,
                 "put_nowait($self, obj, /)\n--\n\n"
                 "Put an object in, if there is room. Raises as put()."),
    QUEUE_METHOD(put_many, METH_FASTCALL | METH_KEYWORDS,
                 "put_many($self, /, iterable, block=True, timeout=None)\n--\n\n"
                 "Put all objects of an iterable in, in batches; how many they were.\n\n"
                 "The order is kept; others may put theirs in between.\n\n"
                 "Args:\n"
                 "    block: wait while the queue is full.\n"
                 "    timeout: for at most so many seconds in all; None: as long as it takes.\n\n"
                 "Raises:\n"
                 "    As put(), and what the iterable raises. The objects before the one that\n"
                 "    failed are in, as far as there was room; the exception's attribute\n"
                 "    put_count says how many."),
    QUEUE_METHOD(get, METH_FASTCALL | METH_KEYWORDS,
                 "get($self, /, block=True, timeout=None)\n--\n\n"
                 "Take the oldest object out.\n\n"
                 "Args:\n"
                 "    block: wait while the queue is empty.\n"
                 "    timeout: for at most so many seconds; None: as long as it takes.\n\n"
                 "Raises:\n"
                 "    Empty: there was none.\n"
                 "    ShutDown: the queue was shut down, and is empty.\n"
                 "    ValueError: it was closed in this process.\n"
                 "    Exception: whatever unpickling the object raised; it is gone then."),
    QUEUE_METHOD(get_nowait, METH_NOARGS,
                 "get_nowait($self, /)\n--\n\n"
                 "Take the oldest object out, if there is one. Raises as get()."),
    QUEUE_METHOD(get_many, METH_FASTCALL | METH_KEYWORDS,
                 "get_many($self, /, n, block=True, timeout=None)\n--\n\n"
                 "Take the oldest objects out at once: one at least, `n` at most; a list.\n\n"
                 "It waits for the first one only, and takes fewer than there are if they are\n"
                 "large.\n\n"
                 "Args:\n"
                 "    block: wait while the queue is empty.\n"
                 "    timeout: for at most so many seconds; None: as long as it takes.\n\n"
                 "Raises:\n"
                 "    As get(). If one of the objects can not be unpickled, the exception's\n"
                 "    attribute `got` is the list of the others."),
    QUEUE_METHOD(qsize, METH_NOARGS,
                 "qsize($self, /)\n--\n\nHow many objects are in it: exact at the moment of the "
                 "call."),
    QUEUE_METHOD(full, METH_NOARGS,
                 "full($self, /)\n--\n\nWhether it is full: exact at the moment of the call."),
    INNER(_task_done, task_done, METH_NOARGS,
          "_task_done($self, /)\n--\n\n"
          "One more object that was taken out is done with.\n\n"
          "Raises ValueError if that was said as often as objects were put in."),
    INNER(_join, join, METH_NOARGS,
          "_join($self, /)\n--\n\n"
          "Wait until all objects that were put in are done with.\n\n"
          "Raises OwnerDied if a process crashed with objects in hand, and the wait would have no "
          "end for that reason: see recover(). What a process took that has ended in order is for "
          "another one to mark as done."),
    INNER(_recover, recover, METH_NOARGS,
          "_recover($self, /)\n--\n\n"
          "Count what crashed processes had in hand as done with; how many objects that are.\n\n"
          "They are not in the queue any more, and may have been dealt with in part: it is for the "
          "caller to know what to do about them."),
    INNER(_shut, shut, METH_NOARGS, "_shut(): nothing goes in any more, from any process."),
    INNER(_drain, drain, METH_NOARGS, "_drain(): throw away what is in it, as done with."),
    INNER(_limit, limit, METH_NOARGS, "_limit(): the most objects it holds."),
    INNER(_pickle_with, pickle_with, METH_O | METH_STATIC,
          "_pickle_with(dumps): have what is not of the plainest types pickled by dumps(object): "
          "bytes, or (body, parts), whose parts are buffers that go apart."),
    INNER(_unpickle_apart_with, unpickle_apart_with, METH_O | METH_STATIC,
          "_unpickle_apart_with(loads): have what went apart unpickled by loads(payload): Memory or "
          "a bytearray, in the layout of Channel.collect()."),
    INNER(_ends, ends, METH_NOARGS,
          "_ends(): how many objects were ever put in and taken out, modulo 2**28."),
    INNER(_takings, takings, METH_NOARGS,
          "_takings(): for each process: (pid, dead, taken, done, number of the first item of its "
          "last taking, number behind the last one)."),
    {NULL, NULL, 0, NULL},
};

static PyMethodDef simple_methods[] = {
    SHARED_METHODS,
    INNER(put, put_simply, METH_O,
          "put($self, obj, /)\n--\n\n"
          "Put an object in; it is there for good when this returns. Raises what pickling raises, "
          "and OSError if the queue was closed in this process."),
    INNER(get, get_simply, METH_NOARGS,
          "get($self, /)\n--\n\n"
          "Take the oldest object out; wait while there is none. Raises what unpickling raises, "
          "and OSError if the queue was closed in this process."),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot queue_slots[] = {
    {Py_tp_new, queue_new},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_methods, queue_methods},
    {Py_tp_doc, "A queue in shared memory; a subclass calls _make() in its __init__()."},
    {0, NULL},
};

static PyType_Slot simple_slots[] = {
    {Py_tp_new, queue_new},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_methods, simple_methods},
    {Py_tp_doc, "The same with less methods."},
    {0, NULL},
};

PyType_Spec queue_spec = {
    .name = "procession._core.binding.Queue",
    .basicsize = sizeof(Queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = queue_slots,
};

PyType_Spec simple_queue_spec = {
    .name = "procession._core.binding.SimpleQueue",
    .basicsize = sizeof(Queue),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = simple_slots,
};
