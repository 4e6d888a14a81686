/* Mutex: what Lock and RLock are made of. The word in the arena says which process owns it;
 * which of its threads, and how often, is known to this process alone. */
#include "bind_locks.h"

#include <pthread.h>

typedef struct {
    struct handle handle;
    uint64_t thread; /* that owns it, while depth > 0 and this process does */
    uint32_t depth;
} Mutex;

#define RECURSIVE(self) ((self)->handle.parameters[0] != 0)

static enum pcn_status set_up(struct pcn_arena *arena, struct handle *handle)
{
    /* For who lists it; the body is as it is to be: all zero is a free one. */
    pcn_object_at(arena, handle->name.object)->size = handle->parameters[0];
    return PCN_OK;
}

static void forked(struct handle *handle)
{
    ((Mutex *)handle)->depth = 0;
}

static const struct handle_kind mutex_kind = {
    .kind = PCN_MUTEX, .set_up = set_up, .forked = forked};

/* this_thread(), without the way there: asked at each taking. */
static uint64_t here(void)
{
    return (uint64_t)pthread_self();
}

static struct pcn_mutex *mutex_of(const Mutex *self, const struct pcn_arena *arena)
{
    return handle_body(arena, &self->handle);
}

static bool is_mine(const Mutex *self, const struct pcn_arena *arena)
{
    return self->depth > 0 && self->thread == here() &&
           pcn_mutex_owner(mutex_of(self, arena)) == arena->me;
}

static bool is_mutex(PyObject *lock)
{
    static PyObject *type;
    if (!type) {
        PyObject *module = PyImport_ImportModule("procession._core.binding");
        type = module ? PyObject_GetAttrString(module, "Mutex") : NULL;
        Py_XDECREF(module);
    }
    if (!type)
        PyErr_Clear(); /* then it is a lock like any other */
    return type && PyObject_TypeCheck(lock, (PyTypeObject *)type);
}

bool mutex_is_reentered(PyObject *lock)
{
    if (!is_mutex(lock) || ((Mutex *)lock)->depth == 0 || !RECURSIVE((Mutex *)lock))
        return false;
    const struct pcn_arena *arena = handle_arena((struct handle *)lock);
    if (!arena)
        PyErr_Clear(); /* acquire() says so */
    return arena && is_mine((Mutex *)lock, arena);
}

static PyObject *taken(Mutex *self, const struct pcn_arena *arena)
{
    self->thread = here();
    self->depth = 1;
    /* For who lists it, too. */
    pcn_store_relaxed64(&handle_hold(arena, &self->handle)->taking_from, self->thread);
    note_place(&self->handle, arena);
    Py_RETURN_TRUE;
}

static enum pcn_status sleep_for_it(struct handle *handle, struct pcn_arena *arena,
                                    const struct pcn_wait *wait, pcn_token *dead)
{
    return pcn_mutex_acquire(arena, handle_body(arena, handle), wait, dead);
}

static PyObject *wait_for_it(Mutex *self, struct pcn_arena *arena, uint64_t timeout)
{
    if (!pcn_mutex_spin(arena, mutex_of(self, arena))) {
        int got = wait_to_take(&self->handle, timeout, sleep_for_it, NULL);
        if (got < 0)
            return NULL;
        if (got == 0)
            Py_RETURN_FALSE;
    }
    return taken(self, arena);
}

static PyObject *try_it(Mutex *self, const struct pcn_arena *arena)
{
    pcn_token dead;
    switch (pcn_mutex_try(arena, mutex_of(self, arena), &dead)) {
    case PCN_OK:
        return taken(self, arena);
    case PCN_OWNER_DIED:
        return raise_owner_died(&self->handle, dead);
    default:
        Py_RETURN_FALSE;
    }
}

static PyObject *acquire(Mutex *self, uint64_t timeout)
{
    struct pcn_arena *arena = lock_arena(&self->handle);
    if (!arena)
        return NULL;
    if (RECURSIVE(self) && is_mine(self, arena)) {
        self->depth++;
        Py_RETURN_TRUE;
    }
    if (pcn_mutex_take(arena, mutex_of(self, arena)))
        return taken(self, arena);
    return timeout == 0 ? try_it(self, arena) : wait_for_it(self, arena, timeout);
}

static PyObject *mutex_acquire(PyObject *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *names)
{
    uint64_t timeout = UINT64_MAX;
    if ((count != 0 || names) && acquire_arguments(args, count, names, &timeout) < 0)
        return NULL;
    return acquire((Mutex *)self, timeout);
}

static PyObject *mutex_enter(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return acquire((Mutex *)self, UINT64_MAX);
}

/* Free it in one go, whatever the depth. */
static PyObject *free_it(Mutex *self, struct pcn_arena *arena)
{
    pcn_token owner;
    self->depth = 0;
    if (pcn_mutex_release(mutex_of(self, arena), &owner) != PCN_OK) {
        PyErr_SetString(PyExc_ValueError, "semaphore or lock released too many times");
        return NULL;
    }
    if (owner != arena->me) /* perhaps a dead one's: then nobody asks for it any more */
        pcn_hold_settle(arena, self->handle.name, owner);
    Py_RETURN_NONE;
}

static PyObject *mutex_release(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    Mutex *self = (Mutex *)object;
    struct pcn_arena *arena = lock_arena(&self->handle);
    if (!arena)
        return NULL;
    if (RECURSIVE(self)) {
        if (!is_mine(self, arena)) {
            PyErr_SetString(PyExc_AssertionError,
                            "attempt to release recursive lock not owned by thread");
            return NULL;
        }
        if (self->depth > 1) {
            self->depth--;
            Py_RETURN_NONE;
        }
    }
    return free_it(self, arena);
}

static PyObject *mutex_exit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    (void)args;
    (void)count;
    return mutex_release(self, NULL);
}

static PyObject *mutex_recover(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    Mutex *self = (Mutex *)object;
    struct pcn_arena *arena = lock_arena(&self->handle);
    if (!arena)
        return NULL;
    enum pcn_status status;
    Py_BEGIN_ALLOW_THREADS
    status = pcn_mutex_recover(arena, self->handle.name);
    Py_END_ALLOW_THREADS
    if (status != PCN_OK)
        Py_RETURN_FALSE;
    return taken(self, arena);
}

static PyObject *mutex_locked(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    const struct pcn_arena *arena = lock_arena((struct handle *)self);
    return arena ? PyBool_FromLong(pcn_mutex_owner(mutex_of((Mutex *)self, arena)) != 0) : NULL;
}

static PyObject *mutex_is_mine(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    const struct pcn_arena *arena = lock_arena((struct handle *)self);
    return arena ? PyBool_FromLong(is_mine((Mutex *)self, arena)) : NULL;
}

static PyObject *mutex_is_ours(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    const struct pcn_arena *arena = lock_arena((struct handle *)self);
    if (!arena)
        return NULL;
    return PyBool_FromLong(pcn_mutex_owner(mutex_of((Mutex *)self, arena)) == arena->me);
}

static PyObject *mutex_count(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    const struct pcn_arena *arena = lock_arena((struct handle *)self);
    if (!arena)
        return NULL;
    return PyLong_FromUnsignedLong(is_mine((Mutex *)self, arena) ? ((Mutex *)self)->depth : 0);
}

static PyObject *mutex_release_save(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    Mutex *self = (Mutex *)object;
    struct pcn_arena *arena = lock_arena(&self->handle);
    if (!arena)
        return NULL;
    if (!is_mine(self, arena)) {
        PyErr_SetString(PyExc_RuntimeError, "cannot release a lock that this thread has not");
        return NULL;
    }
    PyObject *depth = PyLong_FromUnsignedLong(self->depth);
    PyObject *done = depth ? free_it(self, arena) : NULL;
    if (!done)
        Py_CLEAR(depth);
    Py_XDECREF(done);
    return depth;
}

static PyObject *mutex_acquire_restore(PyObject *object, PyObject *argument)
{
    Mutex *self = (Mutex *)object;
    unsigned long depth = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred())
        return NULL;
    PyObject *done = acquire(self, UINT64_MAX);
    if (done)
        self->depth = (uint32_t)depth;
    return done;
}

static int mutex_init(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"recursive", NULL};
    Mutex *self = (Mutex *)object;
    int recursive = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|p", names, &recursive))
        return -1;
    if (self->handle.kind)
        return 0; /* called once more */
    self->handle.parameters[0] = (uint64_t)recursive;
    return handle_create(&self->handle, &mutex_kind);
}

static PyObject *mutex_arrive(PyObject *self, PyObject *tuple)
{
    if (handle_arrive((struct handle *)self, &mutex_kind, tuple) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef mutex_methods[] = {
    {"acquire", FAST(mutex_acquire), METH_FASTCALL | METH_KEYWORDS,
     "acquire(block=True, timeout=None): take it, waiting at most `timeout` seconds; whether it "
     "was taken. OwnerDied if the process that owned it died."},
    {"release", mutex_release, METH_NOARGS, "release(): free it. ValueError if it is free."},
    {"__enter__", mutex_enter, METH_NOARGS, "As acquire()."},
    {"__exit__", FAST(mutex_exit), METH_FASTCALL, "As release()."},
    {"recover", mutex_recover, METH_NOARGS,
     "recover(): take it over from an owner that died. True: it is the caller's now; False: it is "
     "free, or its owner lives, and nothing happened."},
    {"locked", mutex_locked, METH_NOARGS, "locked(): whether anybody owns it."},
    {"_is_mine", mutex_is_mine, METH_NOARGS, "_is_mine(): whether this thread owns it."},
    {"_is_ours", mutex_is_ours, METH_NOARGS, "_is_ours(): whether this process owns it."},
    {"_count", mutex_count, METH_NOARGS, "_count(): how often this thread has taken it."},
    {"_release_save", mutex_release_save, METH_NOARGS,
     "_release_save(): free it, however often this thread has taken it; for _acquire_restore()."},
    {"_acquire_restore", mutex_acquire_restore, METH_O,
     "_acquire_restore(saved): take it as often as before."},
    {"_travel", handle_travel_method, METH_NOARGS, "What is pickled of it, for arrive()."},
    {"__reduce__", handle_reduce_method, METH_NOARGS, "For pickle: a handle on the same lock."},
    {"_arrive", mutex_arrive, METH_O, "Become a handle on what travelled."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot mutex_slots[] = {
    {Py_tp_new, lock_new},
    {Py_tp_init, mutex_init},
    {Py_tp_dealloc, lock_dealloc},
    {Py_tp_methods, mutex_methods},
    {Py_tp_doc, "Mutex(recursive=False): a lock shared by processes, which names its owner."},
    {0, NULL},
};

PyType_Spec mutex_spec = {
    .name = "procession._core.binding.Mutex",
    .basicsize = sizeof(Mutex),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = mutex_slots,
};
