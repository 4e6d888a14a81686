/* Barrier: who waits, who acts, and how it is told. */
#include "bind_waits.h"

#include "barrier.h"

static enum pcn_status set_up(struct pcn_arena *arena, struct handle *handle)
{
    pcn_barrier_init(arena, handle_body(arena, handle), (uint32_t)handle->parameters[0]);
    return PCN_OK;
}

static const struct handle_kind barrier_kind = {.kind = PCN_BARRIER, .set_up = set_up};

static PyObject *raise_broken(void)
{
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *error = threading ? PyObject_GetAttrString(threading, "BrokenBarrierError") : NULL;
    if (error)
        PyErr_SetNone(error);
    Py_XDECREF(error);
    Py_XDECREF(threading);
    return NULL;
}

/* The end of a wait: whose index, or that the round was broken off. */
static PyObject *depart(const struct pcn_barrier_wait *wait, enum pcn_status status)
{
    pcn_barrier_depart(wait);
    return status == PCN_OK ? PyLong_FromUnsignedLong(wait->index) : raise_broken();
}

/* The last one acts, and opens the barrier. */
static PyObject *act(struct pcn_arena *arena, const struct pcn_barrier_wait *wait,
                     PyObject *action)
{
    const pcn_token me = arena->me;
    PyObject *done = PyObject_CallNoArgs(action);
    Py_XDECREF(done);
    if (arena->me != me) /* a child that the action forked: nobody waits for it here */
        return done ? raise_broken() : NULL;
    if (done)
        return depart(wait, pcn_barrier_open(arena, wait));
    Py_BEGIN_ALLOW_THREADS
    pcn_barrier_break(arena, wait);
    Py_END_ALLOW_THREADS
    pcn_barrier_depart(wait);
    return NULL;
}

/* One bounded sleep, seen by who lists the waiters. */
static enum pcn_status sleep_a_step(struct handle *handle, struct pcn_arena *arena,
                                    struct pcn_barrier_wait *wait, uint64_t began,
                                    uint64_t deadline)
{
    uint64_t now = pcn_now_ns();
    uint64_t span = now < deadline ? deadline - now : UINT64_MAX;
    struct pcn_spot *spot = pcn_spot_mine(arena, this_thread());
    enum pcn_status status;
    pcn_spot_stand(arena, spot, handle->name, spot_op(deadline), place_of_caller(handle));
    pcn_spot_backdate(spot, began);
    Py_BEGIN_ALLOW_THREADS
    status = pcn_barrier_sleep(arena, wait, span);
    Py_END_ALLOW_THREADS
    pcn_spot_leave(spot);
    return status;
}

/* Wait for the others. A signal handler may do anything: even fork, and come back here. */
static PyObject *wait_for_others(struct handle *handle, struct pcn_arena *arena,
                                 struct pcn_barrier_wait *wait, uint64_t deadline)
{
    const pcn_token me = arena->me;
    const uint64_t began = pcn_now_ns();
    enum pcn_status status = PCN_EMPTY;
    if (has_a_moment(deadline)) {
        Py_BEGIN_ALLOW_THREADS
        if (pcn_barrier_spin(arena, wait))
            status = pcn_barrier_look(arena, wait);
        Py_END_ALLOW_THREADS
    }
    while (status != PCN_OK && status != PCN_CLOSED) {
        if (pcn_now_ns() >= deadline && status == PCN_EMPTY) {
            Py_BEGIN_ALLOW_THREADS
            pcn_barrier_break(arena, wait);
            status = pcn_barrier_look(arena, wait); /* it may have opened at the last moment */
            Py_END_ALLOW_THREADS
            break;
        }
        status = sleep_a_step(handle, arena, wait, began, deadline);
        if (status == PCN_OK || status == PCN_CLOSED)
            break;
        if (PyErr_CheckSignals() < 0) {
            if (arena->me == me)
                pcn_barrier_withdraw(arena, wait);
            return NULL;
        }
        if (arena->me != me)
            return raise_broken(); /* a child of the handler's: nobody waits for it here */
        if (status == PCN_SIGNAL)
            status = pcn_barrier_look(arena, wait);
    }
    return depart(wait, status);
}

/* The last one of the round before acts still: wait until that is over. */
static int wait_for_actor(struct handle *handle, struct pcn_arena *arena,
                          struct pcn_barrier_wait *wait)
{
    const pcn_token me = arena->me;
    const uint64_t began = pcn_now_ns();
    enum pcn_status status;
    do {
        status = sleep_a_step(handle, arena, wait, began, UINT64_MAX);
        if (PyErr_CheckSignals() < 0)
            return -1;
        if (arena->me != me) {
            raise_broken();
            return -1;
        }
    } while (status == PCN_BUSY || status == PCN_SIGNAL);
    return 0;
}

/* Come, and wait for the others or act. */
static PyObject *take_part(struct handle *handle, struct pcn_arena *arena, PyObject *action,
                           uint64_t deadline)
{
    bool acts = action != Py_None;
    struct pcn_barrier_wait wait = {.name = handle->name, .hold = handle_hold(arena, handle)};
    enum pcn_status status;
    while ((status = pcn_barrier_arrive(arena, &wait, acts)) == PCN_BUSY) {
        if (wait_for_actor(handle, arena, &wait) < 0)
            return NULL;
    }
    if (status == PCN_OWNER_DIED) {
        Py_BEGIN_ALLOW_THREADS
        pcn_barrier_break(arena, &wait);
        Py_END_ALLOW_THREADS
    }
    if (status == PCN_CLOSED || status == PCN_OWNER_DIED)
        return raise_broken();
    if (status == PCN_EMPTY)
        return wait_for_others(handle, arena, &wait, deadline);
    return acts ? act(arena, &wait, action) : depart(&wait, PCN_OK);
}

static PyObject *barrier_wait(PyObject *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *names)
{
    PyObject *timeout = timeout_given(args, count, names);
    struct pcn_arena *arena = timeout ? handle_arena((struct handle *)self) : NULL;
    if (!arena)
        return NULL;
    PyObject *action = PyObject_GetAttrString(self, "_action");
    PyObject *usual = action ? PyObject_GetAttrString(self, "_timeout") : NULL;
    uint64_t deadline;
    PyObject *index = NULL;
    if (usual && deadline_of(timeout == Py_None ? usual : timeout, &deadline) == 0)
        index = take_part((struct handle *)self, arena, action, deadline);
    Py_XDECREF(usual);
    Py_XDECREF(action);
    return index;
}

static PyObject *barrier_abort(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_arena *arena = handle_arena((struct handle *)self);
    if (!arena)
        return NULL;
    struct pcn_name name = ((struct handle *)self)->name;
    Py_BEGIN_ALLOW_THREADS
    pcn_barrier_abort(arena, name);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *barrier_reset(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    struct pcn_arena *arena = handle_arena((struct handle *)self);
    if (!arena)
        return NULL;
    struct pcn_name name = ((struct handle *)self)->name;
    Py_BEGIN_ALLOW_THREADS
    pcn_barrier_reset(arena, name);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static const struct pcn_barrier *barrier_of(PyObject *self)
{
    struct handle *handle = (struct handle *)self;
    const struct pcn_arena *arena = handle_arena(handle);
    return arena ? handle_body(arena, handle) : NULL;
}

static PyObject *barrier_parties(PyObject *self, void *ignored)
{
    (void)ignored;
    const struct pcn_barrier *barrier = barrier_of(self);
    return barrier ? PyLong_FromUnsignedLong(barrier->parties) : NULL;
}

static PyObject *barrier_n_waiting(PyObject *self, void *ignored)
{
    (void)ignored;
    const struct pcn_barrier *barrier = barrier_of(self);
    return barrier ? PyLong_FromUnsignedLong(pcn_barrier_waiting(barrier)) : NULL;
}

static PyObject *barrier_broken(PyObject *self, void *ignored)
{
    (void)ignored;
    const struct pcn_barrier *barrier = barrier_of(self);
    return barrier ? PyBool_FromLong(pcn_barrier_is_broken(barrier)) : NULL;
}

static int barrier_init(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"parties", NULL};
    struct handle *handle = (struct handle *)self;
    Py_ssize_t parties;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "n", names, &parties))
        return -1;
    if (handle->kind)
        return 0; /* called once more */
    if (parties < 1 || parties > (Py_ssize_t)PCN_MOST_PARTIES) {
        PyErr_Format(PyExc_ValueError, "parties must be >= 1 and <= %u, not %zd",
                     PCN_MOST_PARTIES, parties);
        return -1;
    }
    handle->parameters[0] = (uint64_t)parties;
    return handle_create(handle, &barrier_kind);
}

static PyObject *barrier_arrive(PyObject *self, PyObject *tuple)
{
    if (handle_arrive((struct handle *)self, &barrier_kind, tuple) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef barrier_methods[] = {
    {"wait", WAIT_METHOD(barrier_wait), METH_FASTCALL | METH_KEYWORDS,
     "wait(timeout=None): wait for the other parties, at most `timeout` seconds, then the barrier "
     "breaks for all; without one, as long as the barrier was made with. How many had come "
     "before: each party gets another number, from 0. The last one calls the action first. "
     "BrokenBarrierError if it is broken, or was broken or reset meanwhile."},
    {"abort", barrier_abort, METH_NOARGS, "abort(): break it: who waits, and who comes, is told."},
    {"reset", barrier_reset, METH_NOARGS,
     "reset(): begin anew, also after a death: who waits gets a BrokenBarrierError."},
    {"_travel", handle_travel_method, METH_NOARGS, "What is pickled of it, for arrive()."},
    {"__reduce__", handle_reduce_method, METH_NOARGS, "For pickle: a handle on the same barrier."},
    {"_arrive", barrier_arrive, METH_O, "Become a handle on what travelled."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef barrier_properties[] = {
    {"parties", barrier_parties, NULL, "How many must come to open it.", NULL},
    {"n_waiting", barrier_n_waiting, NULL, "How many wait at it now.", NULL},
    {"broken", barrier_broken, NULL, "Whether it is broken.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot barrier_slots[] = {
    {Py_tp_new, waits_new},
    {Py_tp_init, barrier_init},
    {Py_tp_dealloc, waits_free},
    {Py_tp_methods, barrier_methods},
    {Py_tp_getset, barrier_properties},
    {Py_tp_doc, "Barrier(parties): where processes wait for each other."},
    {0, NULL},
};

PyType_Spec barrier_spec = {
    .name = "procession._core.binding.Barrier",
    .basicsize = sizeof(struct handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = barrier_slots,
};
